"""The stand-in's statements: what moves money is one round trip, and one transaction by itself."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.statement import Statement
from payment_gateway.models import Kind

# The attempt is counted under its key's row lock and, on the attempt that moves the money, the ledger written with it.
# A second request under the key waits for the first; one with another body changes nothing.
_CHARGE = Statement(f"""
WITH counted AS (
    INSERT INTO idempotency_keys AS k (client, key, body_digest, charge_id, attempts)
    VALUES (:client, :key, :body_digest, :made, 1)
    ON CONFLICT (client, key) DO UPDATE
        SET attempts = k.attempts + CAST(k.body_digest = excluded.body_digest AS int)
    RETURNING attempts, charge_id AS made, body_digest = :body_digest AS same),
moved AS (
    INSERT INTO ledger (charge_id, idempotency_key, reference, kind, amount_minor, currency, payment_token)
    SELECT made, :key, :reference, '{Kind.CAPTURE}', CAST(:amount_minor AS bigint), :currency, :payment_token
    FROM counted
    WHERE same AND attempts = CAST(:moves_on AS int))
SELECT attempts, made, same FROM counted""")  # noqa: S608  # a constant

_REFUND = text(f"""
WITH counted AS (
    INSERT INTO refunds AS r (charge_id, client, key, body_digest, refund_id, attempts)
    VALUES (:charge_id, :client, :key, :body_digest, :made, 1)
    ON CONFLICT (charge_id) DO UPDATE SET attempts = r.attempts
        + CAST((r.client, r.key, r.body_digest) = (excluded.client, excluded.key, excluded.body_digest) AS int)
    RETURNING attempts, refund_id AS made, (client, key, body_digest) = (:client, :key, :body_digest) AS same),
moved AS (
    INSERT INTO ledger (charge_id, refund_id, idempotency_key, reference, kind, amount_minor, currency)
    SELECT :charge_id, made, :key, :reference, '{Kind.REFUND}', CAST(:amount_minor AS bigint), :currency
    FROM counted
    WHERE same AND attempts = CAST(:moves_on AS int))
SELECT attempts, made, same FROM counted""")  # noqa: S608  # a constant

_CAPTURED = text(f"""
SELECT l.amount_minor, l.currency, l.payment_token FROM ledger l JOIN idempotency_keys k USING (charge_id)
WHERE l.charge_id = :charge_id AND l.kind = '{Kind.CAPTURE}' AND k.client = :client""")  # noqa: S608  # a constant

_ENTRIES = text("SELECT * FROM ledger WHERE seq > :after ORDER BY seq LIMIT :most")


class Charge(NamedTuple):
    """What a client asks for under its key."""

    client: str
    key: str
    body_digest: bytes
    reference: str
    amount_minor: int
    currency: str
    payment_token: str


class Refund(NamedTuple):
    """What a client wants back under its key."""

    client: str
    key: str
    body_digest: bytes
    reference: str
    amount_minor: int
    currency: str
    charge_id: str


class Attempt(NamedTuple):
    """What the key's record says after this attempt; `made` is the id of the charge or refund."""

    number: int
    made: str
    same_body: bool


async def charge(connection: AsyncConnection, asked: Charge, moves_on: int | None) -> Attempt:
    """Count an attempt; it takes the money if it is the one that does. Never twice for a key."""
    parameters = asked._asdict() | {"moves_on": moves_on, "made": f"ch_{uuid4().hex}"}
    (counted,) = await _CHARGE.rows(connection, parameters)
    return Attempt._make(counted)


async def refund(connection: AsyncConnection, asked: Refund, moves_on: int | None) -> Attempt:
    """Count an attempt; it gives the money back if it is the one that does. Never twice for a charge."""
    parameters = asked._asdict() | {"moves_on": moves_on, "made": f"re_{uuid4().hex}"}
    for _ in range(2):  # a twin that comes at the same moment violates the key's constraint too; then its row is there
        with suppress(IntegrityError):
            return Attempt._make((await connection.execute(_REFUND, parameters)).one())
    return Attempt(0, "", same_body=False)  # the key refunds another charge


async def captured(connection: AsyncConnection, client: str, charge_id: str) -> Row[Any] | None:
    """Return what a client's charge took, and with which token; None: it took nothing, or is not this client's."""
    return (await connection.execute(_CAPTURED, {"client": client, "charge_id": charge_id})).first()


async def entries(connection: AsyncConnection, after: int, limit: int) -> Sequence[Row[Any]]:
    """Return the next entries behind `after`, oldest first; complete once no request is under way."""
    return (await connection.execute(_ENTRIES, {"after": after, "most": limit})).all()
