"""Inventory's tables."""

import datetime as dt
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Tables(SQLModel, registry=registry()):
    """The base of this service's tables; a registry of its own keeps other services' tables out."""


class Product(Tables, table=True):
    """What the shop sells, and for how much."""

    __tablename__ = "products"

    sku: str = Field(primary_key=True)
    name: str
    unit_price_minor: int = Field(sa_column=Column(BigInteger, nullable=False))
    currency: str


class StockRow(Tables, table=True):
    """Where the units of a product are."""

    __tablename__ = "stock"
    __table_args__ = (
        CheckConstraint("free >= 0 AND held >= 0 AND shipped >= 0", "nothing_is_negative"),
        CheckConstraint("received = free + held + shipped", "every_unit_is_somewhere"),
    )

    sku: str = Field(primary_key=True)
    received: int = Field(sa_column=Column(BigInteger, nullable=False))
    free: int = Field(sa_column=Column(BigInteger, nullable=False))
    held: int = Field(sa_column=Column(BigInteger, nullable=False))
    shipped: int = Field(sa_column=Column(BigInteger, nullable=False))


class ReservationRow(Tables, table=True):
    """Where an order's reservation is."""

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint("state IN ('rejected', 'held', 'allocated', 'released', 'shipped')", "state_is_known"),
    )

    order_id: UUID = Field(primary_key=True)
    customer_id: str
    state: str


class ReservationLine(Tables, table=True):
    """What of one product an order's reservation took."""

    __tablename__ = "reservation_lines"

    order_id: UUID = Field(primary_key=True)
    sku: str = Field(primary_key=True)
    quantity: int = Field(sa_column=Column(BigInteger, nullable=False))


class StockReceipt(Tables, table=True):
    """A delivery that was counted, once."""

    __tablename__ = "stock_receipts"

    receipt_id: UUID = Field(primary_key=True)
    received_at: dt.datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
