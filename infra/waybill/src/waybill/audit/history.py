"""What several looks at a stack show that one reading can't: what only ever grows, and what went back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from waybill.audit.evidence import Partition
from waybill.audit.finding import Violation
from waybill.audit.machines import PROGRESS

LEAST_LOOKS = 2


class Owned(NamedTuple):
    """A group's row about a partition: who may move it, and how far it is."""

    epoch: int
    next_offset: int


class Look(NamedTuple):
    """One look. Kafka's offsets are read first, so that PostgreSQL's can only be further."""

    committed: Mapping[str, Mapping[Partition, int]]  # by group
    owned: Mapping[str, Mapping[Partition, Owned]]
    statuses: Mapping[str, str]  # of checkout's orders


@dataclass
class History:
    """Compares each look with what was seen before; what went back is kept, however it goes on."""

    looks: int = 0
    missed: int = 0  # looks for which some part did not answer
    compared: int = 0
    offsets: set[Violation] = field(default_factory=set)
    overtaken: set[Violation] = field(default_factory=set)
    epochs: set[Violation] = field(default_factory=set)
    statuses: set[Violation] = field(default_factory=set)
    _last: Look | None = None

    @property
    def is_observed(self) -> bool:
        """Tell whether there were looks enough to compare."""
        return self.looks >= LEAST_LOOKS

    @property
    def summary(self) -> str:
        """Tell in a line how much was seen."""
        wrong = len(self.offsets) + len(self.overtaken) + len(self.epochs) + len(self.statuses)
        return f"{self.looks} looks ({self.missed} missed), {self.compared} values compared, {wrong} went wrong"

    def miss(self) -> None:
        """Note a look that could not be taken."""
        self.missed += 1

    def add(self, look: Look) -> list[Violation]:
        """Compare a look with the last one; return what is newly wrong."""
        before = len(self.offsets), len(self.overtaken), len(self.epochs), len(self.statuses)
        known = self.offsets | self.overtaken | self.epochs | self.statuses
        self._compare_sides(look)
        if self._last is not None:
            self._compare_offsets(self._last, look)
            self._compare_statuses(self._last, look)
        self._last = look
        self.looks += 1
        after = len(self.offsets), len(self.overtaken), len(self.epochs), len(self.statuses)
        if before == after:
            return []
        return sorted((self.offsets | self.overtaken | self.epochs | self.statuses) - known)

    def _compare_sides(self, look: Look) -> None:
        for group, committed in look.committed.items():
            for partition, offset in committed.items():
                row = look.owned[group].get(partition)
                self.compared += 1
                if row is not None and offset > row.next_offset:
                    what = f"Kafka had {offset} while PostgreSQL had {row.next_offset}"
                    self.overtaken.add(Violation(_name(group, partition), what))

    def _compare_offsets(self, last: Look, look: Look) -> None:
        for group, committed in last.committed.items():
            for partition, offset in committed.items():
                now = look.committed[group].get(partition)
                self.compared += 1
                if now is None or now < offset:
                    what = f"Kafka's offset went back from {offset} to {'none' if now is None else now}"
                    self.offsets.add(Violation(_name(group, partition), what))
        for group, rows in last.owned.items():
            for partition, row in rows.items():
                self._compare_rows(_name(group, partition), row, look.owned[group].get(partition))

    def _compare_rows(self, subject: str, before: Owned, now: Owned | None) -> None:
        self.compared += 2
        if now is None or now.next_offset < before.next_offset:
            what = f"PostgreSQL's position went back from {before.next_offset} to {now.next_offset if now else 'none'}"
            self.offsets.add(Violation(subject, what))
        if now is None or now.epoch < before.epoch:
            self.epochs.add(
                Violation(subject, f"its epoch went back from {before.epoch} to {now.epoch if now else 'none'}")
            )

    def _compare_statuses(self, last: Look, look: Look) -> None:
        for order_id, status in last.statuses.items():
            now = look.statuses.get(order_id, "none")
            self.compared += 1
            if now != status and PROGRESS.get(now, -1) <= PROGRESS.get(status, -1):
                self.statuses.add(Violation(order_id, f"its status in PostgreSQL went from {status} to {now}"))


def _name(group: str, partition: Partition) -> str:
    return f"{group}:{partition[0]}/{partition[1]}"
