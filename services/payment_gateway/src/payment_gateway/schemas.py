"""What the gateway's HTTP interface takes and gives."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Header
from pydantic import BaseModel, Field, StringConstraints

from payment_gateway.models import Kind

Text = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]
IdempotencyKey = Annotated[Text, Header(description="one movement of money a key, whatever happens on the way")]


class Amount(BaseModel, frozen=True, extra="forbid"):
    """Money in the currency's minor units. Nothing is an amount."""

    amount_minor: int = Field(ge=0, lt=2**63)
    currency: str = Field(pattern="^[A-Z]{3}$")


class ChargeRequest(BaseModel, frozen=True, extra="forbid"):
    """A request to take money."""

    amount: Amount
    payment_token: Text
    reference: Text


class ChargeAnswer(BaseModel, frozen=True):
    """Money that was taken."""

    charge_id: str
    status: Literal["captured"] = "captured"


class RefundRequest(BaseModel, frozen=True, extra="forbid"):
    """A request to give a whole charge back."""

    charge_id: Text
    amount: Amount
    reference: Text


class RefundAnswer(BaseModel, frozen=True):
    """Money that went back."""

    refund_id: str
    charge_id: str
    status: Literal["refunded"] = "refunded"


class Entry(BaseModel, frozen=True):
    """Money that moved."""

    seq: int
    charge_id: str
    refund_id: str | None
    idempotency_key: str
    reference: str
    kind: Kind
    amount: Amount
    at: datetime


class Page(BaseModel, frozen=True):
    """A page of the ledger; `next` is where the one behind it begins, null behind the last."""

    entries: list[Entry]
    next: int | None
