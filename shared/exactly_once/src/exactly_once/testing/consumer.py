"""A member of a group of the broker in memory."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from exactly_once.batch import Partition, Positions, Record
from exactly_once.edge import Polled
from exactly_once.errors import FencedByGroup, Halted, Retryable
from exactly_once.kafka.consumer import NEVER_COMMITTED
from exactly_once.kafka.membership import Membership

if TYPE_CHECKING:
    from exactly_once.testing.broker import MemoryBroker

STABLE_DEADLINE_S = 20.0


class MemoryConsumer:
    """What `kafka.consumer.GroupConsumer` is to a real cluster; the protocol `edge.Consumer` says what it promises."""

    def __init__(self, broker: "MemoryBroker", name: str, topics: frozenset[str]) -> None:
        self.topics = topics
        self._broker = broker
        self._group = broker.group(name)
        self._membership: Membership | None = None
        self._positions: Positions = {}
        self._paused: set[Partition] = set()
        self._assigned = asyncio.Event()

    async def ensure(self) -> None:
        """Join the group, again after the group has dropped this member."""
        if not self._group.has(self):
            self._group.join(self)
            self._broker.changed()

    async def stop(self) -> None:
        """Leave the group."""
        self._group.leave(self)
        self._broker.changed()

    def assigned(self, generation: int, member_id: str, partitions: frozenset[Partition]) -> None:
        """Take a new assignment: paused, until a recovery says where to go on."""
        self._membership = Membership(generation, member_id, partitions, None)
        self._positions = dict.fromkeys(partitions, 0)
        self._paused = set(partitions)
        self._assigned.set()

    def revoked(self) -> None:
        """Forget the assignment."""
        self._membership = None
        self._assigned.clear()

    async def membership(self, patience_s: float) -> Membership | None:
        """Return the current membership, None if there is none within `patience_s`."""
        try:
            async with asyncio.timeout(patience_s):
                await self._assigned.wait()
        except TimeoutError:
            return None
        return self._membership

    def holds(self, membership: Membership) -> bool:
        """Tell whether this is still what the group said last."""
        return self._membership is membership

    async def poll(self, membership: Membership, timeout_s: float, most: int) -> Polled:
        """Return what has arrived, at once when there is something. FencedByGroup: there is a new assignment."""
        await self._broker.until(lambda: not self.holds(membership) or self._has_records(), timeout_s)
        if not self.holds(membership):
            raise FencedByGroup(f"{self._group.name} was assigned anew")
        records: list[Record] = []
        for partition in sorted(membership.partitions - self._paused):
            records += self._take(partition, most - len(records))
        return Polled(records, dict(self._positions))

    def _has_records(self) -> bool:
        return any(
            self._broker.log(each).visible(at, self._broker.readable(self._group.name, each))
            for each, at in self._positions.items()
            if each not in self._paused
        )

    def _take(self, partition: Partition, most: int) -> list[Record]:
        log, start = self._broker.log(partition), self._positions[partition]
        if not log.beginning <= start <= log.end:
            raise Halted(f"{self._group.name}: the topic no longer has our position: {partition} at {start}")
        stop = max(start, self._broker.readable(self._group.name, partition))
        found = [slot.record for slot in log.visible(start, stop) if slot.record is not None]
        self._positions[partition] = found[most].offset if len(found) > most else stop
        return found[:most]

    async def stable_offsets(self, membership: Membership) -> Positions:
        """Return the committed offsets, -1 for none, after every pending transactional commit has ended."""
        waiting = self._group.name, membership.partitions
        if not await self._broker.until(lambda: not self._broker.pending(*waiting), STABLE_DEADLINE_S):
            raise Retryable(f"{self._group.name}: a predecessor's transaction does not end")
        return {each: self._group.committed.get(each, NEVER_COMMITTED) for each in membership.partitions}

    async def beginnings(self, partitions: Iterable[Partition]) -> Positions:
        """Return the first offset that each partition still has."""
        return {partition: self._broker.log(partition).beginning for partition in partitions}

    def pause(self, membership: Membership) -> None:
        """Deliver nothing until `resume_at`."""
        if self.holds(membership):
            self._paused |= membership.partitions

    def resume_at(self, membership: Membership, positions: Positions) -> None:
        """Go on at these positions. FencedByGroup: the partitions have been assigned anew."""
        if not self.holds(membership):
            raise FencedByGroup(f"{self._group.name} was assigned anew")
        self._positions |= positions
        self._paused -= positions.keys()
