"""Inventory's decisions: who gets the goods, and where each unit is."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID, uuid5


class ReservationState(StrEnum):
    """Where a reservation is; rejected, released, shipped and cancelled are ends."""

    REJECTED = "rejected"
    HELD = "held"
    ALLOCATED = "allocated"
    RELEASED = "released"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"  # before it was made: nothing was ever held


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
    paid: bool = False  # its payment came, and was answered

    @property
    def is_held(self) -> bool:
        """Tell whether units are held, paid for or not."""
        return self.state in {ReservationState.HELD, ReservationState.ALLOCATED}


def demanded(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return how many units of each product these lines ask for together."""
    wanted: Counter[str] = Counter()
    for sku, quantity in lines:
        wanted[sku] += quantity
    return dict(wanted)


def shortages(wanted: Mapping[str, int], stock: Mapping[str, Stock]) -> list[str]:
    """Return the products of which less is free than wanted."""
    return sorted(sku for sku, units in wanted.items() if stock.get(sku, Stock()).free < units)


def expiry_id_of(order_id: UUID) -> str:
    """Return the event id of the command that lets an order's reservation expire: there is one for good."""
    return str(uuid5(order_id, "expiry"))
