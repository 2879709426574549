"""Invariant 12: folding the log into an empty model gives the services' tables."""

from collections.abc import Iterator, Sequence

from waybill.audit.evidence import Evidence, Record, Tables
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.invariants.status import in_motion
from waybill.audit.machines import Bill, Parcel, Progress, Stand, State
from waybill.audit.shop import Payment, Reservation, lines_of

Events = dict[str, list[Record]]

COVERS = (
    "folds orders, reservations, payments, shipments, cancellations and both product tables; "
    "stock receipts come over HTTP"
)


def check(evidence: Evidence) -> Finding:
    """Judge every order's rows in all four databases, and the prices, against what the events add up to."""
    name = "replaying the log gives the services' tables"
    if evidence.trimmed:
        note = f"not observable: retention has taken the beginning of {', '.join(evidence.trimmed)}"
        return Finding("12", name, 0, note=note, observable=False)
    violations: list[Violation] = [*_products(evidence), *_unknown(evidence), *_unreachable(evidence)]
    for order_id, events in evidence.journeys.items():
        if order_id not in evidence.stopped:
            for judge in (_owned, _amounts, _lines, _shipment):
                violations += (Violation(order_id, what) for what in judge(evidence, order_id, events))
    return judged("12", name, len(evidence.journeys), violations, COVERS)


def _unreachable(evidence: Evidence) -> Iterator[Violation]:
    """Yield orders whose row is in no state that the events which its service took may leave it in."""
    rows = {"checkout": _status, "inventory": _reservation, "accounting": _payment, "fulfillment": _fate}
    ahead = {name: set(_ahead(evidence, name)) for name in rows}
    for (name, order_id), explanation in evidence.explanations.items():
        row = rows[name](evidence.tables, order_id)
        if explanation.ends and row not in explanation.ends and not _of_partitions(evidence, order_id, ahead[name]):
            taken = ", ".join(each.event for each in explanation.taken) or "nothing"
            ends = " or ".join(sorted(map(_told, explanation.ends)))
            yield Violation(order_id, f"{name} took {taken}: its row must say {ends}, it says {_told(row)}")


def _told(state: State) -> str:
    """Tell a state in words: its names and what is set."""
    return " ".join(name if value is True else str(value) for name, value in state._asdict().items() if value) or "none"


def _status(tables: Tables, order_id: str) -> State:
    row = tables.orders.get(order_id)
    return Progress(row.status, row.cancellation, row.withheld) if row else Progress("none")


def _reservation(tables: Tables, order_id: str) -> State:
    row = tables.reservations.get(order_id)
    return Stand(row.state, row.paid) if row else Stand()


def _payment(tables: Tables, order_id: str) -> State:
    row = tables.payments.get(order_id)
    return Bill(row.state, bool(row.currency), row.reserved, row.voided) if row else Bill()


def _fate(tables: Tables, order_id: str) -> State:
    decided = tables.cancellations.get(order_id)
    answer = "" if decided is None else "granted" if decided.granted else "refused"
    return Parcel(order_id in tables.shipments, answer)


def _ahead(evidence: Evidence, name: str) -> Iterator[int]:
    """Yield the numbers of the partitions in which a group's tables are ahead of what was read of its topics."""
    for partition, position in evidence.groups[name].positions.items():
        if partition in evidence.bounds and position.next_offset > evidence.bounds[partition].stable:
            yield partition[1]


def _of_partitions(evidence: Evidence, order_id: str, numbers: set[int]) -> bool:
    events = evidence.journeys[order_id].values()
    return bool(numbers) and any(record.place.partition in numbers for each in events for record in each)


def _owned(evidence: Evidence, order_id: str, events: Events) -> Iterator[str]:
    if order_id not in evidence.tables.orders and events:
        yield "events speak of this order, which checkout does not have"
    owner = next((str(record.fields["customer_id"]) for record in events.get("OrderPlaced", ())), None)
    tables = evidence.tables
    for name, rows in (("inventory", tables.reservations), ("accounting", tables.payments)):
        row: Reservation | Payment | None = rows.get(order_id)
        if row and owner and row.customer_id != owner:
            yield f"is customer {owner}'s, {name} has it as {row.customer_id}'s"


def _amounts(evidence: Evidence, order_id: str, events: Events) -> Iterator[str]:
    row = evidence.tables.payments.get(order_id)
    placed = [each for each in events.get("OrderPlaced", ()) if evidence.taken_at("accounting", each)]
    if row and placed:
        total = placed[0].fields["total"]
        if (total["amount_minor"], total["currency"]) != (row.amount_minor, row.currency):
            yield f"was placed over {total['amount_minor']} {total['currency']}, accounting has {row.amount_minor}"


def _lines(evidence: Evidence, order_id: str, events: Events) -> Iterator[str]:
    row = evidence.tables.reservations.get(order_id)
    if row and row.lines and "StockReserved" in events:
        yield from _other_lines("reservation", row.lines, events["StockReserved"])


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
