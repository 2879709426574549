"""Invariant 5: Kafka's committed offset never passes PostgreSQL's position, and equals it at rest."""

from collections.abc import Iterator

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Finding, Violation, judged


def check(evidence: Evidence) -> Finding:
    """Judge each group's committed offsets against its own positions."""
    checked = sum(len(group.positions.keys() | group.committed.keys()) for group in evidence.groups.values())
    seen = evidence.history.overtaken if evidence.history else set()
    looks = f"watched in {evidence.history.looks} looks" if evidence.history else ""
    name = "committed offset <= next_offset, and equal at rest"
    return judged("5", name, checked, [*_apart(evidence), *seen], looks)


def _apart(evidence: Evidence) -> Iterator[Violation]:
    for name, group in evidence.groups.items():
        for topic, partition in group.positions.keys() | group.committed.keys():
            subject = f"{name}:{topic}/{partition}"
            position = group.positions.get((topic, partition))
            committed = group.committed.get((topic, partition))
            if position is None:
                yield Violation(subject, f"Kafka has offset {committed}, PostgreSQL has no position")
            elif (committed or 0) > position.next_offset:
                yield Violation(subject, f"Kafka's {committed} is ahead of PostgreSQL's {position.next_offset}")
            elif evidence.settled and _waiting(evidence, (topic, partition), committed, position.next_offset):
                yield Violation(subject, f"at rest Kafka has {committed}, PostgreSQL {position.next_offset}")


def _waiting(evidence: Evidence, partition: tuple[str, int], committed: int | None, next_offset: int) -> bool:
    """Tell whether Kafka's offset is behind; a partition that never held a record need not have one."""
    start = evidence.bounds[partition].low if partition in evidence.bounds else 0
    return (start if committed is None else committed) != next_offset


def only_grow(evidence: Evidence) -> Finding:
    """Judge by a watcher's looks that offsets and positions only grow; one reading can't show it."""
    history = evidence.history
    if history is None or not history.is_observed:
        return Finding("5b", "offsets only grow", 0, note="not observable by one reading", observable=False)
    return judged("5b", "offsets only grow", history.compared, history.offsets, history.summary)
