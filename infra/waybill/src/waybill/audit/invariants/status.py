"""Invariant 13: the last status that was published of each order is PostgreSQL's."""

from collections.abc import Iterator

from waybill.audit.evidence import Evidence, Record
from waybill.audit.finding import Finding, Violation, judged


def check(evidence: Evidence) -> Finding:
    """Judge the compacted status topic against checkout's orders."""
    changes = evidence.events.get("OrderStatusChanged", [])
    last = {record.order_id: record for record in sorted(changes, key=lambda record: record.place)}
    name = "the last orders.status of each order is PostgreSQL's"
    return judged("13", name, len(evidence.tables.orders), _different(evidence, last))


def _different(evidence: Evidence, last: dict[str, Record]) -> Iterator[Violation]:
    for order_id, order in evidence.tables.orders.items():
        if in_motion(evidence, order_id):
            continue
        published = last[order_id].fields["status"] if order_id in last else "placed"  # which is not published
        if published != order.status:
            yield Violation(order_id, f"published last: {published}; in PostgreSQL: {order.status}")
    for order_id in last.keys() - evidence.tables.orders.keys():
        yield Violation(order_id, "a status was published of an order that PostgreSQL does not have")


def in_motion(evidence: Evidence, order_id: str, name: str = "checkout") -> bool:
    """Tell whether a group has decided something about an order that Kafka may not show yet."""
    group = evidence.groups[name]
    if not evidence.settled and group.outbox:
        return True
    events = evidence.journeys.get(order_id, {})
    types = evidence.wiring.consumes.get(name, frozenset())
    places = (evidence.taken_at(name, record) for event_type in types for record in events.get(event_type, ()))
    return any(place is not None and not group.published(place) for place in places)
