"""Invariant 3: each decision is one that the audit's own model allows for its inputs."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from waybill.audit.evidence import Evidence, Record
from waybill.audit.explaining import Explanation
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.machines import PROGRESS
from waybill.audit.model import DECISIONS, contradictions, miscounted, order_of
from waybill.audit.shop import Order

Events = dict[str, list[Record]]


def check(evidence: Evidence) -> Finding:
    """Judge what was decided about each order, and how much of it."""
    decided = sum(len(evidence.events.get(event_type, ())) for _, types in DECISIONS for event_type in types)
    violations: list[Violation] = []
    for order_id, events in evidence.journeys.items():
        if order_id not in evidence.stopped:
            violations += _twice(evidence, order_id, events)
            violations += _different(evidence, order_id, events)
            violations += _backwards(order_id, events.get("OrderStatusChanged", []))
    violations += evidence.history.statuses if evidence.history else ()
    for (name, order_id), explanation in evidence.explanations.items():
        if not explanation.ends and not explanation.lost:
            violations.append(Violation(order_id, _unexplained(name, explanation)))
    note = f"{len(evidence.explanations)} histories explained"
    if evidence.trimmed:
        note = f"histories are not judged: retention has taken the beginning of {', '.join(evidence.trimmed)}"
    return judged("3", "each decision is one that the inputs allow", decided, violations, note)


def _unexplained(name: str, explanation: Explanation) -> str:
    taken = "; ".join(
        f"{each.event} at {each.where} -> {', '.join(each.gave) or 'nothing'}" for each in explanation.taken
    )
    return f"no order of taking its events explains what {name} gave: {taken}"


def _twice(evidence: Evidence, order_id: str, events: Events) -> Iterator[Violation]:
    """Yield decisions that were taken twice, and those that nothing about this order asked for."""
    for name, types in DECISIONS:
        causes = {record.event_id for each in evidence.wiring.consumes[name] for record in events.get(each, ())}
        for event_type in types:
            given = events.get(event_type, [])
            if len(given) > 1:
                places = ", ".join(f"{record.event_type} at {record.place}" for record in given)
                yield Violation(order_id, f"{name} decided {len(given)} times: {places}")
            for record in given:
                if not evidence.trimmed and record.cause not in causes and record.cause in evidence.groups[name].claims:
                    what = f"{name} gave {event_type} at {record.place} for an input that is not about this order"
                    yield Violation(order_id, what)


def _different(evidence: Evidence, order_id: str, events: Events) -> Iterator[Violation]:
    """Yield events that speak of other goods, money or people than the order."""
    row = evidence.tables.orders.get(order_id)
    accepted = row and row._replace(status="placed", begun_at_us=row.placed_at_us, cancellation="", withheld="")
    for record in events.get("OrderPlaced", ()):
        placed = record.fields
        yield from (Violation(order_id, f"OrderPlaced {what}") for what in miscounted(placed))
        if accepted is not None and accepted != order_of(placed):
            yield Violation(order_id, f"OrderPlaced at {record.place} is not what checkout's database accepted")
    order = _order(row, events)
    if order is None:
        return
    about_it = ("OrderCancelled", "ExpireReservation", *(each for _, types in DECISIONS for each in types))
    for event_type in about_it:
        for record in events.get(event_type, ()):
            for what in contradictions(order, event_type, record.fields):
                yield Violation(order_id, f"{event_type} {what}")


def _order(row: Order | None, events: Events) -> Order | None:
    placed = events.get("OrderPlaced")
    return order_of(placed[0].fields) if placed else row


def _backwards(order_id: str, changes: list[Record]) -> Iterator[Violation]:
    """Yield statuses that do not lead on from the one before."""
    repeated = Counter(str(record.fields["status"]) for record in changes)
    yield from (Violation(order_id, f"its status {each} was published twice") for each, n in repeated.items() if n > 1)
    for before, after in pairwise(str(record.fields["status"]) for record in changes):
        if PROGRESS.get(after, 3) <= PROGRESS.get(before, 3) and after != before:
            yield Violation(order_id, f"its status went from {before} to {after}")
