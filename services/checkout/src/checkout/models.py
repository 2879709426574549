"""Checkout's tables."""

import datetime as dt
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, LargeBinary, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Tables(SQLModel, registry=registry()):
    """The base of this service's tables; a registry of its own keeps other services' tables out."""


class Order(Tables, table=True):
    """An accepted order: its latest status, and the end that is withheld while a cancellation is unanswered."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("total_minor >= 0", "total_is_not_negative"),
        CheckConstraint("cancellation IN ('asked', 'granted', 'refused')", "cancellation_is_known"),
        CheckConstraint("withheld IS NULL OR coalesce(cancellation, '') = 'asked'", "an_end_waits_for_an_answer_only"),
        Index("orders_by_customer", "customer_id", "number"),
    )

    order_id: UUID = Field(primary_key=True)
    number: int | None = Field(
        default=None,
        sa_column=Column(BigInteger, nullable=False, unique=True, server_default=text("nextval('order_number')")),
    )
    customer_id: str
    status: str
    cancellation: str | None = None
    withheld: str | None = None
    total_minor: int = Field(sa_column=Column(BigInteger, nullable=False))
    currency: str
    placed_at: dt.datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class OrderLineRow(Tables, table=True):
    """One line of an order, at the price of its moment."""

    __tablename__ = "order_lines"
    __table_args__ = (CheckConstraint("quantity > 0", "quantity_is_positive"),)

    order_id: UUID = Field(primary_key=True, foreign_key="orders.order_id")
    line_no: int = Field(primary_key=True)
    sku: str
    quantity: int = Field(sa_column=Column(BigInteger, nullable=False))
    unit_price_minor: int = Field(sa_column=Column(BigInteger, nullable=False))


class IdempotencyKey(Tables, table=True):
    """Which order a customer's key stands for; keys.py says for how long."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)

    customer_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    order_id: UUID
    created_at: dt.datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class Product(Tables, table=True):
    """Checkout's own copy of a price, kept from the `products` topic."""

    __tablename__ = "products"

    sku: str = Field(primary_key=True)
    name: str
    unit_price_minor: int = Field(sa_column=Column(BigInteger, nullable=False))
    currency: str
