"""Fulfillment's decision: one shipment an order, or a cancellation that came in time, never both."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID, uuid5


@dataclass(frozen=True, slots=True)
class Shipment:
    """A parcel on its way."""

    shipment_id: UUID
    order_id: UUID
    customer_id: str
    lines: Mapping[str, int]


class Answer(Enum):
    """What a customer who wants to cancel is told."""

    GRANTED = auto()
    REFUSED = auto()


@dataclass(slots=True)
class Fate:
    """What became of one order here: whichever comes first, the parcel or the cancellation, decides."""

    dispatched: bool = False
    answer: Answer | None = None

    def dispatch(self) -> bool:
        """Let the parcel go; False where it went before, or never will."""
        if self.dispatched or self.answer is Answer.GRANTED:
            return False
        self.dispatched = True
        return True

    def cancel(self) -> Answer | None:
        """Decide a cancellation, once; None where it is decided already."""
        if self.answer is not None:
            return None
        self.answer = Answer.REFUSED if self.dispatched else Answer.GRANTED
        return self.answer


def shipment_id_of(order_id: UUID) -> UUID:
    """Return the id of an order's only shipment: the same on every attempt."""
    return uuid5(order_id, "shipment")
