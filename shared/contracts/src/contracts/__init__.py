"""What the services say to each other: events, topics, users and permissions."""

from contracts.consumption import CONSUMES, topics_consumed
from contracts.events import (
    EVENTS,
    ChargePayment,
    OrderPlaced,
    OrderStatusChanged,
    PaymentCaptured,
    PaymentDeclined,
    ProductListed,
    ShipmentDispatched,
    StockAllocated,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.fields import OrderLine, OrderStatus, ReleaseReason, StockLine
from contracts.money import Money
from contracts.names import Names
from contracts.permissions import AUDITOR, OPERATOR, USERS, Permission, permissions
from contracts.topics import RELAYING, SERVICES, TOPICS, Topic, dead_letters, relay_progress

__all__ = [
    "AUDITOR",
    "CONSUMES",
    "EVENTS",
    "OPERATOR",
    "RELAYING",
    "SERVICES",
    "TOPICS",
    "USERS",
    "ChargePayment",
    "Money",
    "Names",
    "OrderLine",
    "OrderPlaced",
    "OrderStatus",
    "OrderStatusChanged",
    "PaymentCaptured",
    "PaymentDeclined",
    "Permission",
    "ProductListed",
    "ReleaseReason",
    "ShipmentDispatched",
    "StockAllocated",
    "StockLine",
    "StockRejected",
    "StockReleased",
    "StockReserved",
    "Topic",
    "dead_letters",
    "permissions",
    "relay_progress",
    "topics_consumed",
]
