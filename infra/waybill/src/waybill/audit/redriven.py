"""Dead letters, and what redrives them: which are answered, and which records repeat another one."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from waybill.audit.evidence import Group, Place, Record


class Letter(NamedTuple):
    """A dead letter: the group that wrote it, and the record that it could not take: place, claimed id, digest."""

    group: str
    source: "Place"
    event_id: str
    digest: bytes


class Redrive(NamedTuple):
    """Which dead letter a record says that it repeats: whose, and the id under which that group claimed it."""

    group: str
    event_id: str


def is_answered(letter: Letter, groups: Mapping[str, "Group"]) -> bool:
    """Tell whether a group took its dead letter's record after all; another record of the same id does not count."""
    claim = groups[letter.group].claims.get(letter.event_id)
    return claim is not None and not claim.rejected and claim.digest == letter.digest


def copies_of(records: Iterable["Record"], groups: Mapping[str, "Group"]) -> dict["Place", "Place"]:
    """Return where redriven records stand, each with the place of the first record, which it repeats.

    However many there are, a group takes one of them all, as its claim tells, and skips the rest. What differs by a
    byte, or repeats nothing that was claimed, is no copy.
    """
    firsts: dict[object, Place] = {}
    copies: dict[Place, Place] = {}
    wanted = {_same(record) for record in records if record.redrive}
    for record in records:
        if wanted and _same(record) in wanted:
            first = firsts.setdefault(_same(record), record.place)
            if first != record.place and record.redrive and _repeats(record, record.redrive, first, groups):
                copies[record.place] = first
    return copies


def _same(record: "Record") -> object:
    return record.place[:2], record.event_id, record.digest


def _repeats(record: "Record", redrive: Redrive, first: "Place", groups: Mapping[str, "Group"]) -> bool:
    """Tell whether a redrive names the first record, by its id or by its place, and a claim of it."""
    named = redrive.event_id in {record.event_id, str(first)}
    return named and redrive.group in groups and redrive.event_id in groups[redrive.group].claims
