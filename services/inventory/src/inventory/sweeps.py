"""Inventory's timer: reservations that were held for too long are told to expire, each once."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.sweeping import Due, Sweep
from contracts import ExpireReservation
from inventory.domain import expiry_id_of

# Rows under way in the loop's transaction are skipped: they are about to change, and may be due in the next second.
_DUE = text("""
WITH due AS (
    SELECT order_id FROM reservations
    WHERE state = 'held' AND NOT expiry_told AND reserved_at <= now() - make_interval(secs => :ttl_s)
    ORDER BY reserved_at LIMIT :most FOR UPDATE SKIP LOCKED)
UPDATE reservations r SET expiry_told = true FROM due WHERE r.order_id = due.order_id
RETURNING r.order_id, r.customer_id""")


def expiry(ttl_s: float) -> Sweep:
    """Return the sweep that lets reservations expire which have been held for so many seconds and are not paid for."""

    async def sweep(connection: AsyncConnection, most: int) -> Sequence[Due]:
        rows = await connection.execute(_DUE, {"ttl_s": ttl_s, "most": most})
        return [
            Due(ExpireReservation(order_id=order_id, customer_id=customer_id), expiry_id_of(order_id), str(order_id))
            for order_id, customer_id in rows
        ]

    return sweep
