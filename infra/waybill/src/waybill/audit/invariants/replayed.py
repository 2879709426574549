"""Invariant 12: folding the log into an empty model gives the services' tables."""

from collections.abc import Iterator, Sequence

from waybill.audit.evidence import Evidence, Group, Record
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.invariants.status import in_motion
from waybill.audit.shop import lines_of

Events = dict[str, list[Record]]

COVERS = "folds order states, reservations, payments, shipments and both product tables; stock receipts come over HTTP"


def check(evidence: Evidence) -> Finding:
    """Judge every order's rows in all four databases, and the prices, against what the events add up to."""
    name = "replaying the log gives the services' tables"
    if evidence.trimmed:
        note = f"not observable: retention has taken the beginning of {', '.join(evidence.trimmed)}"
        return Finding("12", name, 0, note=note, observable=False)
    violations: list[Violation] = [*_products(evidence), *_unknown(evidence)]
    for order_id, events in evidence.journeys.items():
        if order_id not in evidence.stopped:
            for judge in (_status, _reservation, _payment, _shipment):
                violations += (Violation(order_id, what) for what in judge(evidence, order_id, events))
    return judged("12", name, len(evidence.journeys), violations, COVERS)


def _took(group: Group, events: Events, event_type: str) -> bool:
    return any(group.took(record) for record in events.get(event_type, ()))


def _status(evidence: Evidence, order_id: str, events: Events) -> Iterator[str]:
    order = evidence.tables.orders.get(order_id)
    if order is None:
        yield "events speak of this order, which checkout does not have"
        return
    checkout = evidence.groups["checkout"]
    folded = "placed"
    for event_type, status in (
        ("StockReserved", "reserved"),
        ("PaymentCaptured", "paid"),
        ("ShipmentDispatched", "shipped"),
        ("StockRejected", "rejected"),
    ):
        folded = status if _took(checkout, events, event_type) else folded
    for record in events.get("StockReleased", ()):
        folded = str(record.fields["reason"]) if checkout.took(record) else folded
    if folded != order.status:
        yield f"the events that checkout took make it {folded}, its row says {order.status}"


def _reservation(evidence: Evidence, order_id: str, events: Events) -> Iterator[str]:
    inventory = evidence.groups["inventory"]
    if in_motion(evidence, order_id, "inventory"):
        return
    folded = ""
    for event_type, state in (
        ("StockRejected", "rejected"),
        ("StockReserved", "held"),
        ("StockAllocated", "allocated"),
        ("StockReleased", "released"),
    ):
        folded = state if event_type in events else folded
    folded = "shipped" if _took(inventory, events, "ShipmentDispatched") else folded
    row = evidence.tables.reservations.get(order_id)
    if (row.state if row else "") != folded:
        yield f"the events make its reservation {folded or 'none'}, inventory's row says {row.state if row else 'none'}"
    elif row and folded != "rejected":
        yield from _other_lines("reservation", row.lines, events["StockReserved"])


def _payment(evidence: Evidence, order_id: str, events: Events) -> Iterator[str]:
    accounting = evidence.groups["accounting"]
    if in_motion(evidence, order_id, "accounting"):
        return
    folded = "awaiting" if any(_took(accounting, events, each) for each in ("OrderPlaced", "StockReserved")) else ""
    for event_type, state in (("ChargePayment", "charging"), ("PaymentDeclined", "declined")):
        folded = state if event_type in events else folded
    folded = "captured" if "PaymentCaptured" in events else folded
    row = evidence.tables.payments.get(order_id)
    if (row.state if row else "") != folded:
        yield f"the events make its payment {folded or 'none'}, accounting's row says {row.state if row else 'none'}"
    elif row and "OrderPlaced" in events:
        total = events["OrderPlaced"][0].fields["total"]
        if (total["amount_minor"], total["currency"]) != (row.amount_minor, row.currency):
            yield f"was placed over {total['amount_minor']} {total['currency']}, accounting has {row.amount_minor}"


def _shipment(evidence: Evidence, order_id: str, events: Events) -> Iterator[str]:
    if in_motion(evidence, order_id, "fulfillment"):
        return
    told = {str(record.fields["shipment_id"]) for record in events.get("ShipmentDispatched", ())}
    row = evidence.tables.shipments.get(order_id)
    if told != ({row.shipment_id} if row else set()):
        yield f"events tell of shipments {sorted(told) or 'none'}, fulfillment has {row.shipment_id if row else 'none'}"
    elif row:
        yield from _other_lines("shipment", row.lines, events["ShipmentDispatched"])


def _other_lines(what: str, lines: object, records: Sequence[Record]) -> Iterator[str]:
    told = dict(lines_of(records[0].fields["lines"]))
    if told != lines:
        yield f"its {what} has {lines}, the event said {told}"


def _unknown(evidence: Evidence) -> Iterator[Violation]:
    """Yield rows about orders that no event speaks of."""
    if not evidence.settled:
        return
    tables = evidence.tables
    for name, rows in (("inventory", tables.reservations), ("accounting", tables.payments)):
        for order_id in rows.keys() - evidence.journeys.keys() - evidence.stopped:
            yield Violation(order_id, f"{name} has a row about it, no event speaks of it")
    for order_id in tables.shipments.keys() - evidence.journeys.keys() - evidence.stopped:
        yield Violation(order_id, "fulfillment shipped it, no event speaks of it")


def _products(evidence: Evidence) -> Iterator[Violation]:
    if not evidence.settled:
        return
    listed: dict[str, tuple[int, str]] = {}
    for record in sorted(evidence.events.get("ProductListed", ()), key=lambda record: record.place):
        fields = record.fields
        listed[fields["sku"]] = (fields["unit_price"]["amount_minor"], fields["unit_price"]["currency"])
    for name, prices in (("inventory", evidence.tables.products), ("checkout", evidence.tables.prices)):
        for sku in prices.keys() | listed.keys():
            if prices.get(sku) != listed.get(sku):
                yield Violation(sku, f"{name} prices it at {prices.get(sku)}, the last event says {listed.get(sku)}")
