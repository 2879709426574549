"""Invariant 1: every input event has one claim, and what it demands is visible once."""

from collections import Counter
from collections.abc import Iterator

from waybill.audit.evidence import Evidence, Group, Record
from waybill.audit.finding import Finding, Violation, judged


def check(evidence: Evidence) -> Finding:
    """Judge that nothing was lost and nothing was taken or published twice."""
    handled = list(_handled(evidence))
    violations = [
        *_unclaimed(evidence, handled),
        *_misplaced(evidence),
        *_doubled(evidence),
        *_confused(evidence),
        *_unanswered(evidence),
        *_unpublished(evidence),
        *_unburied(evidence),
    ]
    name = "every input event has one claim, and its outputs are visible once"
    return judged("1", name, len(handled), violations, f"{len(evidence.records)} records read")


def _handled(evidence: Evidence) -> Iterator[tuple[str, Group, Record]]:
    """Yield each record with each group that must have claimed it, as far as that group has come."""
    for name, types in evidence.wiring.consumes.items():
        group = evidence.groups[name]
        for event_type in types:
            for record in evidence.events.get(event_type, ()):
                position = group.positions.get(record.place[:2])
                if position is not None and record.place.offset < position.next_offset:
                    yield name, group, record


def _unclaimed(evidence: Evidence, handled: list[tuple[str, Group, Record]]) -> Iterator[Violation]:
    for name, group, record in handled:
        if evidence.forgotten(record):
            continue
        if record.event_id not in group.claims and str(record.place) not in group.claims:
            order = f" of order {record.order_id}" if record.order_id else ""
            what = f"{name} went past this {record.event_type}{order} at {record.place} and never claimed it"
            yield Violation(record.event_id, what)


def _misplaced(evidence: Evidence) -> Iterator[Violation]:
    """Yield claims of records that nobody can read although their topic keeps them."""
    for name, group in evidence.groups.items():
        for claim in group.claims.values():
            bounds = evidence.bounds.get(claim.place[:2])
            if bounds is None or claim.place.topic in evidence.wiring.compacted:
                continue
            if bounds.low <= claim.place.offset < bounds.stable and claim.place not in evidence.at:
                yield Violation(claim.event_id, f"{name} claims {claim.place}, where no record can be read")


def _doubled(evidence: Evidence) -> Iterator[Violation]:
    first: dict[tuple[str, str], Record] = {}
    for record in evidence.records:
        if not record.event_id or record.place in evidence.rejected or record.place in evidence.copies:
            continue
        earlier = first.setdefault((record.place.topic, record.event_id), record)
        if earlier is not record:
            yield Violation(
                record.event_id, f"this {record.event_type} is visible at {earlier.place} and {record.place}"
            )


def _confused(evidence: Evidence) -> Iterator[Violation]:
    """Yield ids under which a group was given two different events: it can take only one of them."""
    for name, types in evidence.wiring.consumes.items():
        first: dict[str, Record] = {}
        for record in evidence.records:
            if record.event_type in types and record.event_id:
                earlier = first.setdefault(record.event_id, record)
                if earlier.digest != record.digest:
                    both = f"{earlier.event_type} at {earlier.place} and {record.event_type} at {record.place}"
                    yield Violation(record.order_id or record.event_id, f"{name} reads one event id on {both}")


def _unanswered(evidence: Evidence) -> Iterator[Violation]:
    """Yield answers that a group must have given to an input that it took, and that can't be read."""
    for (name, order_id), explanation in evidence.explanations.items():
        for lost in explanation.lost:
            asked, answers = lost.taken, " and ".join(lost.answers)
            yield Violation(order_id, f"{name} took {asked.event} at {asked.where}, but its {answers} can't be read")


def _unpublished(evidence: Evidence) -> Iterator[Violation]:
    """Yield accepted orders that were never told to anybody."""
    if evidence.trimmed or evidence.groups["checkout"].outbox or not evidence.settled:
        return
    for order_id in evidence.tables.orders:
        if "OrderPlaced" not in evidence.journeys[order_id] and order_id not in evidence.stopped:
            yield Violation(order_id, "this order was accepted, but no OrderPlaced can be read and the outbox is empty")


def _unburied(evidence: Evidence) -> Iterator[Violation]:
    """Yield rejected claims whose dead letter can't be read, and places with two of one group."""
    letters = Counter((letter.group, letter.source) for letter in evidence.letters)
    for name, group in evidence.groups.items():
        for claim in group.claims.values():
            if claim.rejected and group.published(claim.place) and (name, claim.place) not in letters:
                yield Violation(claim.event_id, f"{name} rejected {claim.place}, but its dead letter can't be read")
    for (name, source), times in letters.items():
        if times > 1:
            yield Violation(str(source), f"{name} wrote {times} dead letters about it")
