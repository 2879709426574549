"""Invariant 3: each decision is one that the audit's own model allows for its inputs."""

from collections.abc import Iterator
from itertools import pairwise

from waybill.audit.evidence import Evidence, Record
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.model import RULES, STATUS_RANK, Rule, contradictions, miscounted, order_of
from waybill.audit.shop import Order

Events = dict[str, list[Record]]


def check(evidence: Evidence) -> Finding:
    """Judge what was decided about each order, and how much of it."""
    decided = sum(len(evidence.events.get(event_type, ())) for rule in RULES for event_type in rule.gives)
    violations: list[Violation] = []
    for order_id, events in evidence.journeys.items():
        if order_id not in evidence.stopped:
            violations += _undue(evidence, order_id, events)
            violations += _different(evidence, order_id, events)
            violations += _backwards(order_id, events.get("OrderStatusChanged", []))
    return judged("3", "each decision is one that the inputs allow", decided, violations)


def _undue(evidence: Evidence, order_id: str, events: Events) -> Iterator[Violation]:
    """Yield decisions taken twice, or before what they need was known."""
    for rule in RULES:
        given = [record for event_type in rule.gives for record in events.get(event_type, ())]
        if len(given) > 1:
            places = ", ".join(f"{record.event_type} at {record.place}" for record in given)
            yield Violation(order_id, f"{rule.group} decided {len(given)} times: {places}")
        if given and not evidence.trimmed:
            yield from _premature(evidence, rule, order_id, events)


def _premature(evidence: Evidence, rule: Rule, order_id: str, events: Events) -> Iterator[Violation]:
    group = evidence.groups[rule.group]
    for event_type in rule.needs:
        if not any(group.took(record) for record in events.get(event_type, ())):
            yield Violation(order_id, f"{rule.group} gave {' or '.join(rule.gives)} without having taken {event_type}")


def _different(evidence: Evidence, order_id: str, events: Events) -> Iterator[Violation]:
    """Yield events that speak of other goods, money or people than the order."""
    row = evidence.tables.orders.get(order_id)
    for record in events.get("OrderPlaced", ()):
        placed = record.fields
        yield from (Violation(order_id, f"OrderPlaced {what}") for what in miscounted(placed))
        if row is not None and row._replace(status="placed", begun_at_us=row.placed_at_us) != order_of(placed):
            yield Violation(order_id, f"OrderPlaced at {record.place} is not what checkout's database accepted")
    order = _order(row, events)
    if order is not None:
        for event_type in (each for rule in RULES for each in rule.gives):
            for record in events.get(event_type, ()):
                for what in contradictions(order, event_type, record.fields):
                    yield Violation(order_id, f"{event_type} {what}")


def _order(row: Order | None, events: Events) -> Order | None:
    placed = events.get("OrderPlaced")
    return order_of(placed[0].fields) if placed else row


def _backwards(order_id: str, changes: list[Record]) -> Iterator[Violation]:
    """Yield statuses that do not lead on from the one before."""
    statuses = [str(record.fields["status"]) for record in changes]
    for before, after in pairwise(statuses):
        if STATUS_RANK.get(after, 3) <= STATUS_RANK.get(before, 3):
            yield Violation(order_id, f"its status went from {before} to {after}")
