"""Invariant 8: a coordinate (topic, partition, offset) has one value, for everybody who reads it."""

from collections.abc import Iterator

from waybill.audit.evidence import Claim, Evidence, Record
from waybill.audit.finding import Finding, Violation, judged


def check(evidence: Evidence) -> Finding:
    """Judge the digests in the claims against each other and against the bytes read."""
    violations: list[Violation] = []
    checked = 0
    first: dict[tuple[str, int, int], tuple[str, Claim]] = {}
    for name, group in evidence.groups.items():
        for claim in group.claims.values():
            checked += 1
            violations += _against_record(name, claim, evidence.at.get(claim.place))
            other, earlier = first.setdefault(claim.place, (name, claim))
            if earlier.digest != claim.digest:
                violations.append(Violation(str(claim.place), f"{other} and {name} saw different bytes here"))
    return judged("8", "one value per topic, partition and offset", checked, violations)


def _against_record(name: str, claim: Claim, record: Record | None) -> Iterator[Violation]:
    if record is None:  # compacted or expired; what should be there is invariant 1's
        return
    if claim.digest != record.digest:
        yield Violation(str(claim.place), f"{name} claimed other bytes than can be read here")
    elif claim.event_id not in {record.event_id, str(record.place), record.redrive and record.redrive.event_id}:
        yield Violation(str(claim.place), f"{name} claimed {claim.event_id}, here stands {record.event_id}")
