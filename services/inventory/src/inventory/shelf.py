"""The working set of stock and reservations: read under lock, written set-based.

Stock rows are always locked in the order of their skus.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts import OrderPlaced
from exactly_once import Event
from inventory.domain import Reservation, ReservationState, Stock, demanded, shortages

_RESERVATIONS = text("""
SELECT r.order_id, r.customer_id, r.state, r.paid, array_agg(l.sku) AS skus, array_agg(l.quantity) AS quantities
FROM reservations r LEFT JOIN reservation_lines l USING (order_id)
WHERE r.order_id = ANY(CAST(:ids AS uuid[])) GROUP BY r.order_id""")

_STOCK = text("""
SELECT sku, received, free, held, shipped FROM stock WHERE sku = ANY(CAST(:skus AS text[])) ORDER BY sku FOR UPDATE""")

_SAVE_RESERVATIONS = text("""
INSERT INTO reservations (order_id, customer_id, state, paid)
SELECT r.*
FROM unnest(CAST(:ids AS uuid[]), CAST(:customers AS text[]), CAST(:states AS text[]), CAST(:paid AS bool[]))
    AS r(order_id, customer_id, state, paid) ORDER BY r.order_id
ON CONFLICT (order_id) DO UPDATE SET (state, paid) = (excluded.state, excluded.paid)""")

_SAVE_LINES = text("""
INSERT INTO reservation_lines (order_id, sku, quantity)
SELECT l.* FROM unnest(CAST(:ids AS uuid[]), CAST(:skus AS text[]), CAST(:quantities AS bigint[]))
    AS l(order_id, sku, quantity)""")

_SAVE_STOCK = text("""
UPDATE stock s SET (free, held, shipped) = (n.free, n.held, n.shipped)
FROM unnest(CAST(:skus AS text[]), CAST(:free AS bigint[]), CAST(:held AS bigint[]), CAST(:shipped AS bigint[]))
    AS n(sku, free, held, shipped) WHERE s.sku = n.sku""")


class Shelf:
    """The working set of every handler: the stock and the reservations that a batch touches."""

    def __init__(self, stock: dict[str, Stock], reservations: dict[UUID, Reservation]) -> None:
        self._stock = stock
        self._reservations = reservations
        self._moved: set[str] = set()
        self._changed: set[UUID] = set()
        self._new: set[UUID] = set()

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        """Read these events' reservations, and then under lock the stock of all that they hold or ask for."""
        ids = list({event.order_id for event in events if hasattr(event, "order_id")})
        reservations = {
            row.order_id: Reservation(
                row.order_id,
                row.customer_id,
                ReservationState(row.state),
                {sku: units for sku, units in zip(row.skus, row.quantities, strict=True) if sku is not None},
                row.paid,
            )
            for row in await connection.execute(_RESERVATIONS, {"ids": ids})
        }
        asked = {line.sku for event in events if isinstance(event, OrderPlaced) for line in event.lines}
        held = {sku for reservation in reservations.values() for sku in reservation.lines}
        rows = await connection.execute(_STOCK, {"skus": sorted(asked | held)})
        return cls({sku: Stock(*levels) for sku, *levels in rows}, reservations)

    def reservation(self, order_id: UUID) -> Reservation | None:
        """Return an order's reservation."""
        return self._reservations.get(order_id)

    def stock_of(self, sku: str) -> Stock:
        """Return where the units of a product are."""
        return self._stock.get(sku, Stock())

    def reserve(self, order: OrderPlaced) -> list[str]:
        """Hold everything that an order asks for, or nothing; return what is short. It is remembered either way."""
        wanted = demanded((line.sku, line.quantity) for line in order.lines)
        short = shortages(wanted, self._stock)
        state = ReservationState.REJECTED if short else ReservationState.HELD
        reservation = Reservation(order.order_id, order.customer_id, state, {} if short else wanted)
        self._reservations[order.order_id] = reservation
        self._new.add(order.order_id)
        self._move(reservation, Stock.hold)
        return short

    def allocate(self, reservation: Reservation) -> None:
        """Note that what is held is paid for."""
        self._turn(reservation, ReservationState.ALLOCATED, paid=True)

    def fail(self, reservation: Reservation) -> None:
        """Note that a payment came for what is held no longer."""
        self._turn(reservation, reservation.state, paid=True)

    def forestall(self, order_id: UUID, customer_id: str) -> None:
        """Remember that an order was cancelled before it came: nothing will be held for it."""
        self._reservations[order_id] = Reservation(order_id, customer_id, ReservationState.CANCELLED, {})
        self._new.add(order_id)

    def release(self, reservation: Reservation) -> None:
        """Put back what is held."""
        self._turn(reservation, ReservationState.RELEASED)
        self._move(reservation, Stock.release)

    def ship(self, reservation: Reservation) -> None:
        """Let go what is held."""
        self._turn(reservation, ReservationState.SHIPPED)
        self._move(reservation, Stock.ship)

    def _turn(self, reservation: Reservation, state: ReservationState, *, paid: bool = False) -> None:
        turned = replace(reservation, state=state, paid=paid or reservation.paid)
        self._reservations[reservation.order_id] = turned
        self._changed.add(reservation.order_id)

    def _move(self, reservation: Reservation, how: Any) -> None:
        for sku, units in reservation.lines.items():
            self._stock[sku] = how(self._stock[sku], units)
            self._moved.add(sku)

    async def save(self, connection: AsyncConnection) -> None:
        """Write what changed: one statement a table."""
        touched = [self._reservations[order_id] for order_id in self._new | self._changed]
        if touched:
            await connection.execute(_SAVE_RESERVATIONS, _columns_of_reservations(touched))
        lines = [(i, sku, units) for i in self._new for sku, units in self._reservations[i].lines.items()]
        if lines:
            ids, skus, quantities = zip(*lines, strict=True)
            await connection.execute(
                _SAVE_LINES, {"ids": list(ids), "skus": list(skus), "quantities": list(quantities)}
            )
        if self._moved:
            await connection.execute(_SAVE_STOCK, _columns_of_stock({sku: self._stock[sku] for sku in self._moved}))


def _columns_of_reservations(reservations: Sequence[Reservation]) -> dict[str, Any]:
    return {
        "ids": [reservation.order_id for reservation in reservations],
        "customers": [reservation.customer_id for reservation in reservations],
        "states": [reservation.state.value for reservation in reservations],
        "paid": [reservation.paid for reservation in reservations],
    }


def _columns_of_stock(stock: Mapping[str, Stock]) -> dict[str, Any]:
    return {
        "skus": list(stock),
        "free": [level.free for level in stock.values()],
        "held": [level.held for level in stock.values()],
        "shipped": [level.shipped for level in stock.values()],
    }
