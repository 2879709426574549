"""Which events each service handles; its processor must name the same."""

from contracts.events import (
    ChargePayment,
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    ProductListed,
    ShipmentDispatched,
    StockAllocated,
    StockRejected,
    StockReleased,
    StockReserved,
)
from exactly_once import Event

CONSUMES: dict[str, tuple[type[Event], ...]] = {
    "checkout": (StockReserved, StockRejected, StockReleased, PaymentCaptured, ShipmentDispatched, ProductListed),
    "inventory": (OrderPlaced, PaymentCaptured, PaymentDeclined, ShipmentDispatched),
    "accounting": (OrderPlaced, StockReserved, ChargePayment),
    "fulfillment": (StockAllocated,),
}


def topics_consumed(service: str) -> frozenset[str]:
    """Return the logical topics that a service subscribes to."""
    return frozenset(event_type.topic for event_type in CONSUMES[service])
