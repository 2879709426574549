"""Inventory's tables."""

import datetime as dt
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, text
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
    """Where an order's reservation is, whether its payment came, and whether a sweep has told it to expire."""

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint(
            "state IN ('rejected', 'held', 'allocated', 'released', 'shipped', 'cancelled')", "state_is_known"
        ),
        CheckConstraint("paid OR state NOT IN ('allocated', 'shipped')", "what_goes_out_is_paid_for"),
        Index(
            "reservations_that_may_expire",
            "reserved_at",
            postgresql_where=text("state = 'held' AND NOT expiry_told"),
        ),
    )

    order_id: UUID = Field(primary_key=True)
    customer_id: str
    state: str
    reserved_at: dt.datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    paid: bool = False
    expiry_told: bool = False


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
