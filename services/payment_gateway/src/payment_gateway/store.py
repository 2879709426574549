"""The stand-in's statements: a charge is one round trip, and one transaction by itself."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast
from uuid import uuid4

from sqlalchemy import Integer, Row, Table, bindparam, insert, literal_column, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Executable

from payment_gateway.models import IdempotencyKey, Kind, LedgerEntry

keys = cast("Table", IdempotencyKey.__table__)  # type: ignore[attr-defined]  # SQLModel does not declare it
ledger = cast("Table", LedgerEntry.__table__)  # type: ignore[attr-defined]  # likewise


class Charge(NamedTuple):
    """What a client asks for under its key."""

    client: str
    key: str
    body_digest: bytes
    reference: str
    amount_minor: int
    currency: str


class Attempt(NamedTuple):
    """What the key's record says after this attempt."""

    number: int
    charge_id: str
    same_body: bool


def _charge_statement() -> Executable:
    """Count the attempt under its key's row lock and, on the attempt that captures, write the ledger with it.

    A second request under the key waits for the first; one with another body changes nothing.
    """
    asked = upsert(keys).values(
        {name: bindparam(name) for name in ("client", "key", "body_digest", "charge_id")} | {"attempts": 1}
    )
    same_body = keys.c.body_digest == asked.excluded.body_digest
    counted = (
        asked.on_conflict_do_update(
            index_elements=[keys.c.client, keys.c.key],
            set_={"attempts": keys.c.attempts + sql_cast(same_body, Integer)},
        )
        .returning(keys.c.attempts, keys.c.charge_id, (keys.c.body_digest == bindparam("body_digest")).label("same"))
        .cte("counted")
    )
    entry = {
        "charge_id": counted.c.charge_id,
        "idempotency_key": bindparam("key", type_=keys.c.key.type),
        "reference": bindparam("reference", type_=ledger.c.reference.type),
        "kind": literal_column(f"'{Kind.CAPTURE}'"),
        "amount_minor": bindparam("amount_minor", type_=ledger.c.amount_minor.type),
        "currency": bindparam("currency", type_=ledger.c.currency.type),
    }
    due = select(*entry.values()).where(counted.c.same, counted.c.attempts == bindparam("captures_on", type_=Integer()))
    captured = insert(ledger).from_select(list(entry), due).cte("captured")
    return select(counted.c.attempts, counted.c.charge_id, counted.c.same).add_cte(captured)


CHARGE = _charge_statement()


async def charge(connection: AsyncConnection, asked: Charge, captures_on: int | None) -> Attempt:
    """Count an attempt; it moves the money if it is the one that captures. Never twice for a key."""
    parameters = asked._asdict() | {"captures_on": captures_on, "charge_id": f"ch_{uuid4().hex}"}
    return Attempt._make((await connection.execute(CHARGE, parameters)).one())


async def entries(connection: AsyncConnection, after: int, limit: int) -> Sequence[Row[Any]]:
    """Return the next entries behind `after`, oldest first; complete once no charge is under way."""
    page = select(ledger).where(ledger.c.seq > after).order_by(ledger.c.seq).limit(limit)
    return (await connection.execute(page)).all()
