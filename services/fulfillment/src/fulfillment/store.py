"""Fulfillment's statements, set-based."""

from collections.abc import Sequence
from typing import Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once import Event
from fulfillment.domain import Shipment

_KNOWN = text("SELECT order_id FROM shipments WHERE order_id = ANY(CAST(:ids AS uuid[]))")

_SAVE = text("""
INSERT INTO shipments (order_id, shipment_id, customer_id)
SELECT s.* FROM unnest(CAST(:ids AS uuid[]), CAST(:shipments AS uuid[]), CAST(:customers AS text[]))
    AS s(order_id, shipment_id, customer_id)""")

_SAVE_LINES = text("""
INSERT INTO shipment_lines (order_id, sku, quantity)
SELECT l.* FROM unnest(CAST(:ids AS uuid[]), CAST(:skus AS text[]), CAST(:quantities AS bigint[]))
    AS l(order_id, sku, quantity)""")


class Shipments:
    """The working set: which of a batch's orders have a shipment."""

    def __init__(self, shipped: set[UUID]) -> None:
        self._shipped = shipped
        self._new: list[Shipment] = []

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        """Read which orders have a shipment; an order's events all come through one process, so nothing is locked."""
        ids = list({event.order_id for event in events if hasattr(event, "order_id")})
        return cls(set((await connection.execute(_KNOWN, {"ids": ids})).scalars()))

    def has(self, order_id: UUID) -> bool:
        """Tell whether an order has its shipment."""
        return order_id in self._shipped

    def dispatch(self, shipment: Shipment) -> None:
        """Send a shipment off."""
        self._shipped.add(shipment.order_id)
        self._new.append(shipment)

    async def save(self, connection: AsyncConnection) -> None:
        """Write the new shipments."""
        if not self._new:
            return
        places = {
            "ids": [shipment.order_id for shipment in self._new],
            "shipments": [shipment.shipment_id for shipment in self._new],
            "customers": [shipment.customer_id for shipment in self._new],
        }
        await connection.execute(_SAVE, places)
        lines = [(each.order_id, sku, quantity) for each in self._new for sku, quantity in each.lines.items()]
        ids, skus, quantities = zip(*lines, strict=True)
        await connection.execute(_SAVE_LINES, {"ids": list(ids), "skus": list(skus), "quantities": list(quantities)})
