"""Fulfillment's statements, set-based."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once import Event
from fulfillment.domain import Answer, Fate, Shipment, shipment_id_of

_KNOWN = text("""
SELECT order_id, s.order_id IS NOT NULL AS dispatched, c.granted
FROM unnest(CAST(:ids AS uuid[])) AS asked(order_id)
LEFT JOIN shipments s USING (order_id) LEFT JOIN cancellations c USING (order_id)
WHERE s.order_id IS NOT NULL OR c.order_id IS NOT NULL""")

_SAVE = text("""
INSERT INTO shipments (order_id, shipment_id, customer_id)
SELECT s.* FROM unnest(CAST(:ids AS uuid[]), CAST(:shipments AS uuid[]), CAST(:customers AS text[]))
    AS s(order_id, shipment_id, customer_id)""")

_SAVE_LINES = text("""
INSERT INTO shipment_lines (order_id, sku, quantity)
SELECT l.* FROM unnest(CAST(:ids AS uuid[]), CAST(:skus AS text[]), CAST(:quantities AS bigint[]))
    AS l(order_id, sku, quantity)""")

_SAVE_CANCELLATIONS = text("""
INSERT INTO cancellations (order_id, customer_id, granted)
SELECT c.* FROM unnest(CAST(:ids AS uuid[]), CAST(:customers AS text[]), CAST(:granted AS bool[]))
    AS c(order_id, customer_id, granted)""")


class Cancellation(NamedTuple):
    """A cancellation that was decided."""

    order_id: UUID
    customer_id: str
    granted: bool


class Shipments:
    """The working set: what became of a batch's orders."""

    def __init__(self, known: Mapping[UUID, Fate]) -> None:
        self._fates = defaultdict(Fate, known)
        self._dispatched: list[Shipment] = []
        self._cancelled: list[Cancellation] = []

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        """Read what is known of these orders; their events all come through one process, so nothing is locked."""
        ids = list({event.order_id for event in events if hasattr(event, "order_id")})
        rows = await connection.execute(_KNOWN, {"ids": ids})
        return cls({row.order_id: Fate(row.dispatched, _answer(row.granted)) for row in rows})

    def dispatch(self, order_id: UUID, customer_id: str, lines: Mapping[str, int]) -> Shipment | None:
        """Send an order's only shipment off; None where it is gone, or cancelled."""
        if not self._fates[order_id].dispatch():
            return None
        shipment = Shipment(shipment_id_of(order_id), order_id, customer_id, lines)
        self._dispatched.append(shipment)
        return shipment

    def cancel(self, order_id: UUID, customer_id: str) -> Answer | None:
        """Decide an order's cancellation; None where that was done before."""
        answer = self._fates[order_id].cancel()
        if answer is not None:
            self._cancelled.append(Cancellation(order_id, customer_id, answer is Answer.GRANTED))
        return answer

    async def save(self, connection: AsyncConnection) -> None:
        """Write the new shipments and the decided cancellations."""
        if self._cancelled:
            ids, customers, granted = map(list, zip(*self._cancelled, strict=True))
            await connection.execute(_SAVE_CANCELLATIONS, {"ids": ids, "customers": customers, "granted": granted})
        if not self._dispatched:
            return
        places = {
            "ids": [shipment.order_id for shipment in self._dispatched],
            "shipments": [shipment.shipment_id for shipment in self._dispatched],
            "customers": [shipment.customer_id for shipment in self._dispatched],
        }
        await connection.execute(_SAVE, places)
        lines = [(each.order_id, sku, quantity) for each in self._dispatched for sku, quantity in each.lines.items()]
        ids, skus, quantities = map(list, zip(*lines, strict=True))
        await connection.execute(_SAVE_LINES, {"ids": ids, "skus": skus, "quantities": quantities})


def _answer(granted: bool | None) -> Answer | None:  # noqa: FBT001  # a column, null while nothing is decided
    return None if granted is None else Answer.GRANTED if granted else Answer.REFUSED
