"""Invariant 10: after the work, nothing is left on its way and every order has one end."""

from collections.abc import Iterator

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.model import ends_of
from waybill.audit.shop import TERMINAL


def check(evidence: Evidence) -> Finding:
    """Judge lag, hanging transactions and the ends of the orders."""
    violations = [
        *_behind(evidence),
        *_hanging(evidence),
        *_endless(evidence),
        *_two_ends(evidence),
        *_unsettled(evidence),
    ]
    stopped = sorted(evidence.stopped)
    note = f"{len(stopped)} orders stopped by an open dead letter"
    if stopped:
        note += f": {', '.join(stopped[:5])}" + (", ..." if len(stopped) > 5 else "")  # noqa: PLR2004 - a glimpse
    checked = len(evidence.tables.orders) + len(evidence.bounds)
    return judged("10", "lag 0, no hanging transaction, each order in one terminal state", checked, violations, note)


def _behind(evidence: Evidence) -> Iterator[Violation]:
    for name, group in evidence.groups.items():
        topics = {evidence.wiring.topics[event_type] for event_type in evidence.wiring.consumes.get(name, ())}
        lag = sum(record.place.topic in topics and not group.published(record.place) for record in evidence.records)
        if lag:
            yield Violation(name, f"is {lag} records behind")
        if group.outbox:
            yield Violation(name, f"has {group.outbox} events in its outbox that are not published")


def _hanging(evidence: Evidence) -> Iterator[Violation]:
    for (topic, partition), bounds in evidence.bounds.items():
        if bounds.stable != bounds.high:
            what = f"a transaction hangs: its last stable offset is {bounds.stable}, its end {bounds.high}"
            yield Violation(f"{topic}/{partition}", what)


def _endless(evidence: Evidence) -> Iterator[Violation]:
    for order_id, order in evidence.tables.orders.items():
        if order.status not in TERMINAL and order_id not in evidence.stopped:
            yield Violation(order_id, f"is stuck: its status is {order.status}")


def _two_ends(evidence: Evidence) -> Iterator[Violation]:
    for order_id, events in evidence.journeys.items():
        if order_id in evidence.stopped:
            continue
        ends = ends_of(events)
        row = evidence.tables.orders.get(order_id)
        if len(ends) > 1:
            yield Violation(order_id, f"has more than one end: {', '.join(sorted(ends))}")
        elif row is not None and row.status in TERMINAL and not evidence.trimmed and ends != {row.status}:
            yield Violation(order_id, f"is {row.status} in PostgreSQL, the events say {', '.join(ends) or 'nothing'}")


def _unsettled(evidence: Evidence) -> Iterator[Violation]:
    """Yield orders that have ended while goods or money are still under way, though nothing moves any more."""
    if not evidence.settled:
        return
    for order_id, order in evidence.tables.orders.items():
        if order.status not in TERMINAL or order_id in evidence.stopped:
            continue
        reservation, payment = evidence.tables.reservations.get(order_id), evidence.tables.payments.get(order_id)
        if reservation and reservation.state in {"held", "allocated"}:
            yield Violation(order_id, f"is {order.status}, and its reservation is still {reservation.state}: it leaks")
        if payment and payment.state in {"charging", "refunding"}:
            yield Violation(order_id, f"is {order.status}, and its payment is still {payment.state}")
