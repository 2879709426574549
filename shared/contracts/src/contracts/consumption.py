"""Which events each service handles; its processor must name the same."""

from contracts.events import (
    AllocationFailed,
    CancellationRefused,
    ChargePayment,
    ExpireReservation,
    OrderCancelled,
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    ProductListed,
    RefundPayment,
    ShipmentCancelled,
    ShipmentDispatched,
    StockAllocated,
    StockRejected,
    StockReleased,
    StockReserved,
)
from exactly_once import Event

CONSUMES: dict[str, tuple[type[Event], ...]] = {
    "checkout": (
        StockReserved,
        StockRejected,
        StockReleased,
        PaymentCaptured,
        ShipmentDispatched,
        ShipmentCancelled,
        CancellationRefused,
        ProductListed,
    ),
    "inventory": (
        OrderPlaced,
        PaymentCaptured,
        PaymentDeclined,
        ShipmentDispatched,
        ShipmentCancelled,
        ExpireReservation,
    ),
    "accounting": (
        OrderPlaced,
        StockReserved,
        StockReleased,
        AllocationFailed,
        ShipmentCancelled,
        ChargePayment,
        RefundPayment,
    ),
    "fulfillment": (StockAllocated, OrderCancelled),
}


def topics_consumed(service: str) -> frozenset[str]:
    """Return the logical topics that a service subscribes to."""
    return frozenset(event_type.topic for event_type in CONSUMES[service])
