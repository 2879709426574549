"""Invariant 2: what a `read_committed` reader sees, a service's database explains."""

from collections.abc import Iterator

from waybill.audit.evidence import Evidence, Record
from waybill.audit.finding import Finding, Violation, judged


def check(evidence: Evidence) -> Finding:
    """Judge that no output of an aborted transaction, and none out of nowhere, can be read."""
    owned = [record for record in evidence.records if record.place.topic in evidence.wiring.topics.values()]
    violations = [_violation(record) for record in owned if not _explained(evidence, record)]
    note = f"{len(evidence.aborted)} aborted records, none of them visible"
    again = sum(key in evidence.visible for key in evidence.aborted)
    if evidence.aborted:
        note += f"; {again} of them were published again"
    return judged("2", "no output of an aborted transaction is read", len(owned), violations, note)


def _violation(record: Record) -> Violation:
    what = f"no service's database explains this {record.event_type or 'record'} at {record.place}"
    return Violation(record.event_id or str(record.place), what)


def _explained(evidence: Evidence, record: Record) -> bool:
    if record.place in evidence.rejected:  # foreign bytes, that ended as a dead letter
        return True
    if record.place in evidence.copies or evidence.forgotten(record):  # as well explained as what it repeats, or was
        return True
    if not record.fields:
        return False
    if _asked_for(evidence, record):
        return True
    claim = evidence.writer(record.place.topic).claims.get(record.cause)
    return claim is not None and not claim.rejected


def _asked_for(evidence: Evidence, record: Record) -> bool:
    """Tell whether an HTTP request asked for this event: then a row of its service says so."""
    fields = record.fields
    if record.event_type == "ProductListed":
        return fields["sku"] in evidence.tables.products
    order, reservation = evidence.tables.orders.get(record.order_id), evidence.tables.reservations.get(record.order_id)
    if record.event_type == "OrderCancelled":
        return order is not None and bool(order.cancellation)
    if record.event_type == "ExpireReservation":
        return reservation is not None and reservation.expiry_told
    placed = record.event_type == "OrderPlaced" or fields.get("status") == "placed"
    return placed and order is not None


def unresolved(evidence: Evidence) -> Iterator[Violation]:
    """Yield what was produced, aborted and never published: an output that got lost on its way."""
    for topic, which in evidence.aborted:
        if (topic, which) not in evidence.visible and topic not in evidence.wiring.compacted:
            yield Violation(which, f"was produced into {topic}, aborted, and never published again")
