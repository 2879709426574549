"""What a group said when it assigned: captured at once, carried by every batch, never read again."""

from dataclasses import dataclass, field
from typing import Any

from exactly_once.batch import Partition
from exactly_once.errors import FencedByGroup, Halted


@dataclass(frozen=True, eq=False)
class Membership:
    """One member in one generation, with its partitions (logical names).

    The coordinator's live values must never be read at a commit: after an expired session they are (-1, ""),
    which the broker takes for an old client's, and a zombie commits.
    """

    generation: int
    member_id: str
    partitions: frozenset[Partition]
    assignment: Any = field(repr=False)

    def check(self) -> None:
        """FencedByGroup before anything is sent, if the group had already dropped this member at the capture."""
        if self.generation < 0 or not self.member_id:
            raise FencedByGroup("the group had dropped this member before it assigned")

    def check_copartitioned(self) -> None:
        """Halted where the topics' partition numbers differ: one customer would be in two hands."""
        numbers: dict[str, set[int]] = {}
        for topic, partition in self.partitions:
            numbers.setdefault(topic, set()).add(partition)
        if len({frozenset(each) for each in numbers.values()}) > 1:
            raise Halted(f"the topics are not co-partitioned: {numbers}; give them the same number of partitions")
