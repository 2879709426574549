"""The working set of the projection: one query under lock to read how far orders are, one statement to write it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from checkout.domain import Cancellation, Progress
from checkout.store import progress_of
from contracts import OrderStatus, OrderStatusChanged
from exactly_once import Event, RejectRecord

_STATUSES = text("""
SELECT order_id, customer_id, status, cancellation, withheld FROM orders WHERE order_id = ANY(CAST(:ids AS uuid[]))
ORDER BY order_id FOR UPDATE""")

_SET_STATUSES = text("""
UPDATE orders o SET (status, cancellation, withheld) = (n.status, n.cancellation, n.withheld)
FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:cancellations AS text[]), CAST(:withheld AS text[]))
    AS n(order_id, status, cancellation, withheld)
WHERE o.order_id = n.order_id""")


class Statuses:
    """How far a batch's orders are."""

    def __init__(self, known: Iterable[tuple[UUID, str, Progress]]) -> None:
        self._known = {order_id: (customer_id, progress) for order_id, customer_id, progress in known}
        self._before: dict[UUID, Progress] = {}

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        """Read how far these events' orders are, under lock."""
        ids = list({event.order_id for event in events if hasattr(event, "order_id")})
        rows = await connection.execute(_STATUSES, {"ids": ids})
        return cls((row.order_id, row.customer_id, progress_of(row)) for row in rows)

    def advance(self, order_id: UUID, customer_id: str, news: OrderStatus) -> OrderStatusChanged | None:
        """Move an order on, and return what that tells; None where the news is old, or withheld for now."""
        progress = self._progress(order_id, customer_id)
        return _told(order_id, customer_id, progress) if progress.learn(news) else None

    def answer(self, order_id: UUID, customer_id: str, answer: Cancellation) -> OrderStatusChanged | None:
        """Take the answer to a cancellation, and return what that tells; None where the order goes on, or has ended."""
        progress = self._progress(order_id, customer_id)
        return _told(order_id, customer_id, progress) if progress.answer(answer) else None

    async def save(self, connection: AsyncConnection) -> None:
        """Write how far those orders are of which there was news."""
        now = {order_id: self._known[order_id][1] for order_id in self._before}
        changed = {order_id: progress for order_id, progress in now.items() if progress != self._before[order_id]}
        if changed:
            places = {
                "ids": list(changed),
                "statuses": [progress.status for progress in changed.values()],
                "cancellations": [progress.cancellation for progress in changed.values()],
                "withheld": [progress.withheld for progress in changed.values()],
            }
            await connection.execute(_SET_STATUSES, places)

    def _progress(self, order_id: UUID, customer_id: str) -> Progress:
        owner, progress = self._known.get(order_id, (None, None))
        if owner is None or progress is None:  # its row was committed before anybody could hear of it
            raise RejectRecord(f"checkout has accepted no order {order_id}")
        if owner != customer_id:
            raise RejectRecord(f"order {order_id} belongs to another customer")
        self._before.setdefault(order_id, replace(progress))
        return progress


def _told(order_id: UUID, customer_id: str, progress: Progress) -> OrderStatusChanged:
    return OrderStatusChanged(order_id=order_id, customer_id=customer_id, status=progress.status)
