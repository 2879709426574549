"""Invariant 7: an input's outputs are all visible or none, in every topic that they go to."""

from collections.abc import Iterator

from waybill.audit.evidence import Evidence, Record
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.invariants.unaborted import unresolved


def check(evidence: Evidence) -> Finding:
    """Judge that outputs became visible together, and together with the offset of what caused them."""
    stored = sum(len(group.stored) for group in evidence.groups.values())
    caused = list(_caused(evidence))
    violations = [*_half(evidence), *_ahead(evidence, caused), *unresolved(evidence)]
    note = f"{stored} stored outputs compared; of those pruned 1 and 3 judge what their inputs demand"
    return judged("7", "no transaction is torn across topics", len(caused), violations, note)


def _half(evidence: Evidence) -> Iterator[Violation]:
    """Yield stored outputs that can't be read although their input's offset was committed with them."""
    letters = {(letter.group, letter.source) for letter in evidence.letters}
    visible = {(record.place.topic, record.event_id): record.digest for record in evidence.records}
    for name, group in evidence.groups.items():
        for output in group.stored:
            seen = visible.get((output.topic, output.event_id))
            if not group.published(output.source) or output.topic in evidence.wiring.compacted:
                continue
            if (name, output.source) in letters:  # a dead letter keeps its record's headers, or their lack
                continue
            if seen is None:
                what = f"{name} committed {output.source}, but its output into {output.topic} can't be read"
                yield Violation(output.event_id, what)
            elif seen != output.digest:
                yield Violation(output.event_id, f"{name} stored other bytes for {output.topic} than can be read there")


def _caused(evidence: Evidence) -> Iterator[tuple[str, Record]]:
    """Yield the records that an input caused, with the group that took it."""
    for record in evidence.records:
        name = evidence.wiring.writers.get(record.place.topic, "")
        if record.cause and name in evidence.groups and record.cause in evidence.groups[name].claims:
            yield name, record


def _ahead(evidence: Evidence, caused: list[tuple[str, Record]]) -> Iterator[Violation]:
    """Yield outputs that can be read although the offset of their input did not move with them."""
    if not evidence.settled:
        return
    for name, record in caused:
        group = evidence.groups[name]
        place = group.claims[record.cause].place
        if not group.published(place):
            what = f"{record.event_type} can be read, but {name}'s offset has not passed {place}, which caused it"
            yield Violation(record.event_id, what)
