"""The stand-in's tables: what was asked under which key, and what moved money."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, DateTime, Identity, LargeBinary, UniqueConstraint, func
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Kind(StrEnum):
    """What an entry did with the money."""

    CAPTURE = "capture"
    REFUND = "refund"


class Tables(SQLModel, registry=registry()):
    """The base of this service's tables; a registry of its own keeps other services' tables out."""


class IdempotencyKey(Tables, table=True):
    """What a client asked under a key, once, and how often it asked."""

    __tablename__ = "idempotency_keys"

    client: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    charge_id: str = Field(unique=True)
    attempts: int
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()))


class Refund(Tables, table=True):
    """Under which key a charge is refunded, once, and how often that was asked."""

    __tablename__ = "refunds"
    __table_args__ = (UniqueConstraint("client", "key"),)

    charge_id: str = Field(primary_key=True)
    client: str
    key: str
    body_digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    refund_id: str = Field(unique=True)
    attempts: int
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()))


class LedgerEntry(Tables, table=True):
    """Money that moved. Written with the key's record in one statement, never changed."""

    __tablename__ = "ledger"
    __table_args__ = (UniqueConstraint("charge_id", "kind"),)

    seq: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    charge_id: str
    idempotency_key: str
    reference: str
    kind: str
    payment_token: str | None
    refund_id: str | None = Field(unique=True)
    amount_minor: int = Field(sa_column=Column(BigInteger, nullable=False))
    currency: str
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()))
