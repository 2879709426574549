"""The audit's own model of the shop: what an order's events may say. It shares no code with the services."""

from collections.abc import Iterator, Mapping
from typing import Any

from waybill.audit.shop import Order, lines_of

RELEASES = {"declined": "declined", "expired": "expired", "cancelled": "cancelled"}
DECISIONS = (
    ("inventory", ("StockReserved", "StockRejected", "StockAllocated", "AllocationFailed", "StockReleased")),
    ("accounting", ("ChargePayment", "PaymentCaptured", "PaymentDeclined", "RefundPayment", "PaymentRefunded")),
    ("fulfillment", ("ShipmentDispatched", "ShipmentCancelled", "CancellationRefused")),
)

_WHOLE_ORDER = frozenset({"StockReserved", "StockAllocated", "StockReleased", "ShipmentDispatched"})
_WHOLE_AMOUNT = frozenset({"ChargePayment", "PaymentCaptured", "RefundPayment", "PaymentRefunded"})


def order_of(placed: Mapping[str, Any]) -> Order:
    """Return the order that an OrderPlaced speaks of."""
    total = placed["total"]
    return Order(
        customer_id=placed["customer_id"],
        status="placed",
        total_minor=total["amount_minor"],
        currency=total["currency"],
        placed_at_us=placed["placed_at"],
        begun_at_us=placed["placed_at"],
        lines=lines_of(placed["lines"]),
    )


def ends_of(events: Mapping[str, Any]) -> set[str]:
    """Return the ends that an order's events, by type, give it: a granted cancellation goes before inventory's end."""
    inventorys = {"rejected"} if events.get("StockRejected") else set()
    inventorys |= {RELEASES.get(each.fields["reason"], "released") for each in events.get("StockReleased", ())}
    if events.get("ShipmentCancelled"):
        return {"cancelled", "shipped"} if events.get("ShipmentDispatched") else {"cancelled"}
    return inventorys | ({"shipped"} if events.get("ShipmentDispatched") else set())


def contradictions(order: Order, event_type: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield in what an event contradicts the order that it is about."""
    if fields["customer_id"] != order.customer_id:
        yield f"is customer {fields['customer_id']}'s, the order is {order.customer_id}'s"
    if event_type in _WHOLE_ORDER and dict(lines_of(fields["lines"])) != dict(order.lines):
        yield f"has lines {dict(lines_of(fields['lines']))}, the order has {dict(order.lines)}"
    if event_type in _WHOLE_AMOUNT:
        yield from _other_amount(order, fields["amount"])
    if event_type == "StockRejected" and not set(fields["short_skus"]) & order.lines.keys():
        yield f"is short of {fields['short_skus']}, which the order does not ask for"


def _other_amount(order: Order, amount: Mapping[str, Any]) -> Iterator[str]:
    told, due = (amount["amount_minor"], amount["currency"]), (order.total_minor, order.currency)
    if told != due:
        yield f"is over {told}, the order over {due}"


def miscounted(placed: Mapping[str, Any]) -> Iterator[str]:
    """Yield in what an OrderPlaced contradicts itself."""
    total = sum(line["quantity"] * line["unit_price"]["amount_minor"] for line in placed["lines"])
    if total != placed["total"]["amount_minor"]:
        yield f"adds up to {total}, its total says {placed['total']['amount_minor']}"
    if any(line["quantity"] <= 0 for line in placed["lines"]):
        yield "has a line with nothing in it"
