"""Fulfillment's tables."""

import datetime as dt
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Tables(SQLModel, registry=registry()):
    """The base of this service's tables; a registry of its own keeps other services' tables out."""


class ShipmentRow(Tables, table=True):
    """One shipment an order."""

    __tablename__ = "shipments"

    order_id: UUID = Field(primary_key=True)
    shipment_id: UUID = Field(unique=True)
    customer_id: str
    dispatched_at: dt.datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class CancellationRow(Tables, table=True):
    """What was decided about an order's cancellation."""

    __tablename__ = "cancellations"

    order_id: UUID = Field(primary_key=True)
    customer_id: str
    granted: bool
    decided_at: dt.datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class ShipmentLine(Tables, table=True):
    """What of one product is in a shipment."""

    __tablename__ = "shipment_lines"

    order_id: UUID = Field(primary_key=True)
    sku: str = Field(primary_key=True)
    quantity: int = Field(sa_column=Column(BigInteger, nullable=False))
