"""The payments table."""

from uuid import UUID

from sqlalchemy import BigInteger, Column
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Tables(SQLModel, registry=registry()):
    """The base of this service's tables; a registry of its own keeps other services' tables out."""


class PaymentRow(Tables, table=True):
    """One payment an order; no amount while only the reservation is known. The migration says what must hold."""

    __tablename__ = "payments"

    order_id: UUID = Field(primary_key=True)
    customer_id: str
    state: str
    reserved: bool
    amount_minor: int | None = Field(sa_column=Column(BigInteger))
    currency: str | None
    payment_token: str | None
    charge_id: str | None = Field(unique=True)
    invoice_number: str | None = Field(unique=True)
    decline_reason: str | None
    voided: bool
    refund_id: str | None = Field(unique=True)
