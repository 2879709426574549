"""The payments table."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Tables(SQLModel, registry=registry()):
    """The base of this service's tables; a registry of its own keeps other services' tables out."""


class PaymentRow(Tables, table=True):
    """One payment an order. The amount is null while only the reservation is known."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("state IN ('awaiting', 'charging', 'captured', 'declined')", "state_is_known"),
        CheckConstraint("state = 'awaiting' OR (reserved AND amount_minor IS NOT NULL)", "charged_only_when_due"),
        CheckConstraint("(state = 'captured') = (charge_id IS NOT NULL)", "captured_means_charge"),
        CheckConstraint("(state = 'captured') = (invoice_number IS NOT NULL)", "captured_means_invoice"),
        CheckConstraint("(state = 'declined') = (decline_reason IS NOT NULL)", "declined_means_reason"),
        CheckConstraint("amount_minor >= 0", "amount_is_not_negative"),
    )

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
