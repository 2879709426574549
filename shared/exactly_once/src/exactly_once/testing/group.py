"""A consumer group in memory: who is in it, in which generation, and what is committed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from exactly_once.batch import Partition, Positions
from exactly_once.errors import FencedByGroup
from exactly_once.kafka.membership import Membership


class Joined(Protocol):
    """A member, as its group sees it."""

    topics: frozenset[str]

    def assigned(self, generation: int, member_id: str, partitions: frozenset[Partition]) -> None:
        """Take a new assignment in place of the last one."""
        ...

    def revoked(self) -> None:
        """Give up the last assignment."""
        ...


@dataclass
class Group:
    """One group. `width` tells how many partitions a topic has."""

    name: str
    width: Callable[[str], int]
    generation: int = 0
    members: dict[str, Joined] = field(default_factory=dict)
    committed: Positions = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def join(self, member: Joined) -> None:
        """Take a member in, and assign anew."""
        self.members[f"{self.name}-{next(self._numbers):06}"] = member
        self._rebalance()

    def leave(self, member: Joined) -> None:
        """Let a member go, or drop it as one whose session has expired, and assign its partitions to the others."""
        left = [member_id for member_id, each in self.members.items() if each is member]
        for member_id in left:
            del self.members[member_id]
        member.revoked()
        if left:
            self._rebalance()

    def has(self, member: Joined) -> bool:
        """Tell whether the group still counts on this member."""
        return any(each is member for each in self.members.values())

    def check(self, membership: Membership) -> None:
        """FencedByGroup: the group has moved on without this member, or into another generation."""
        if membership.member_id not in self.members:
            raise FencedByGroup(f"the group refused the commit of {self.name} (error 25)")
        if membership.generation != self.generation:
            raise FencedByGroup(f"the group refused the commit of {self.name} (error 22)")

    def _rebalance(self) -> None:
        self.generation += 1
        topics = sorted({topic for member in self.members.values() for topic in member.topics})
        mine: dict[str, set[Partition]] = {member_id: set() for member_id in self.members}
        for topic in topics:
            takers = sorted(each for each, member in self.members.items() if topic in member.topics)
            for member_id, numbers in zip(takers, _ranges(self.width(topic), len(takers)), strict=True):
                mine[member_id] |= {Partition(topic, number) for number in numbers}
        for member_id, member in self.members.items():
            member.assigned(self.generation, member_id, frozenset(mine[member_id]))


def _ranges(partitions: int, takers: int) -> Iterable[range]:
    """Deal partitions out by range: equal stretches, the first ones longer by one."""
    each, longer = divmod(partitions, takers)
    start = 0
    for taker in range(takers):
        stop = start + each + (taker < longer)
        yield range(start, stop)
        start = stop
