"""Inventory's decisions: who gets the goods, and where each unit is."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID


class ReservationState(StrEnum):
    """Where a reservation is; rejected, released and shipped are ends."""

    REJECTED = "rejected"
    HELD = "held"
    ALLOCATED = "allocated"
    RELEASED = "released"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class Stock:
    """The units of one product: received = free + held + shipped, none of them negative."""

    received: int = 0
    free: int = 0
    held: int = 0
    shipped: int = 0

    def hold(self, units: int) -> "Stock":
        """Take units off the shelf for an order."""
        return replace(self, free=self.free - units, held=self.held + units)

    def release(self, units: int) -> "Stock":
        """Put held units back."""
        return replace(self, free=self.free + units, held=self.held - units)

    def ship(self, units: int) -> "Stock":
        """Let held units go."""
        return replace(self, held=self.held - units, shipped=self.shipped + units)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one order holds, or held."""

    order_id: UUID
    customer_id: str
    state: ReservationState
    lines: Mapping[str, int]


def demanded(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return how many units of each product these lines ask for together."""
    wanted: Counter[str] = Counter()
    for sku, quantity in lines:
        wanted[sku] += quantity
    return dict(wanted)


def shortages(wanted: Mapping[str, int], stock: Mapping[str, Stock]) -> list[str]:
    """Return the products of which less is free than wanted."""
    return sorted(sku for sku, units in wanted.items() if stock.get(sku, Stock()).free < units)
