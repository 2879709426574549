"""Kafka in memory: topics, transactions and groups as the library meets them, within one process and event loop."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count
from time import time

from exactly_once.batch import Output, Partition, Positions, Record
from exactly_once.envelope import Headers
from exactly_once.errors import PublishFailed
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.partitioning import partition_of
from exactly_once.testing.consumer import MemoryConsumer
from exactly_once.testing.group import Group
from exactly_once.testing.log import End, Log, Slot, Transaction
from exactly_once.testing.producer import MemoryProducer
from exactly_once.testing.schemas import MemorySchemas


class MemoryBroker:
    """A cluster in memory, to be given to a Loop or a Relay as their `kafka`.

    It refuses what a real one refuses: a member of an older generation, a producer that was replaced. Topics come
    into being when they are named first, with `partitions` partitions; those of another number are made by `create`.
    """

    def __init__(self, partitions: int = 3) -> None:
        self.schemas = MemorySchemas()
        self._partitions = partitions
        self._topics: dict[str, list[Log]] = {}
        self._groups: dict[str, Group] = {}
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self._held: dict[str, Positions] = {}
        self._numbers = count()
        self._changed = asyncio.Event()

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic with so many partitions."""
        self._topics[topic] = [Log() for _ in range(partitions)]

    def consumer(self, name: str, topics: Iterable[str]) -> MemoryConsumer:
        """Return a member-to-be of the group `name`."""
        return MemoryConsumer(self, name, frozenset(topics))

    def producer(self, name: str, instance: str) -> MemoryProducer:
        """Return the producer of the transactional id `name.instance`."""
        return MemoryProducer(self, name, f"{name}.{instance}")

    async def last_value(self, topic: str) -> bytes | None:
        """Return the newest committed value in partition 0 of a topic, None where it has none."""
        log = self.log(Partition(topic, 0))
        found = [slot.record.value for slot in log.visible(0, log.end) if slot.record is not None]
        return found[-1] if found else None

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Record:
        """Store a record outside of any transaction, and return it with its coordinate."""
        return self._append(topic, key, value, headers, None)

    def records(self, *topics: str) -> list[Record]:
        """Return what a read_committed reader sees in these topics, in the order in which it was sent."""
        slots = [slot for topic in topics for log in self._logs(topic) for slot in log.visible(0, log.end)]
        return [slot.record for slot in sorted(slots, key=lambda each: each.number) if slot.record is not None]

    def sent_by(self, name: str) -> list[Record]:
        """Return what the producers of a processor or relay have committed, in the order in which it was sent."""
        slots = [slot for logs in self._topics.values() for log in logs for slot in log.slots if slot.is_visible]
        own = [slot for slot in slots if slot.transaction and slot.transaction.transactional_id.startswith(f"{name}.")]
        return [slot.record for slot in sorted(own, key=lambda each: each.number) if slot.record is not None]

    def hold(self, group: str) -> None:
        """Give a group nothing more until `let_through`: how a test makes records late."""
        self._held[group] = {place: self.log(place).end for place in self._places()}

    def waiting(self, group: str, partition: Partition) -> Record | None:
        """Return the record that a held group would be given next of a partition."""
        log = self.log(partition)
        found = log.visible(self._held[group].get(partition, 0), log.end)
        return found[0].record if found else None

    def let_through(self, group: str, partition: Partition) -> Record | None:
        """Give a held group the next record of one partition; return it, None where there is none."""
        record = self.waiting(group, partition)
        if record is not None:
            self._held[group][partition] = record.offset + 1
            self.changed()
        return record

    def behind(self, group: str, topics: Iterable[str]) -> bool:
        """Tell whether a group has not yet committed something that it may read."""
        places = [place for place in self._places() if place.topic in set(topics)]
        return any(
            self.log(place).visible(self.group(group).committed.get(place, 0), self.readable(group, place))
            for place in places
        )

    async def until(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        """Wait until something holds that depends on this broker; False where it does not in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while not holds():
                    await self._changed.wait()
        return holds()

    def start_at(self, group: str, positions: Positions) -> None:
        """Begin the logs of these partitions at these offsets, as if a group had read and committed all before."""
        for partition, offset in positions.items():
            self.log(partition).drop_before(offset)
        self.group(group).committed |= positions

    # What the consumers and producers of this package ask.

    def changed(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def log(self, partition: Partition) -> Log:
        """Return a partition's log."""
        return self._logs(partition.topic)[partition.partition]

    def group(self, name: str) -> Group:
        """Return a group, made when it is named first."""
        return self._groups.setdefault(name, Group(name, lambda topic: len(self._logs(topic))))

    def readable(self, group: str, partition: Partition) -> int:
        """Return the offset before which a group may read: the last stable one, or where it is held."""
        stable = self.log(partition).last_stable
        return min(stable, self._held[group].get(partition, 0)) if group in self._held else stable

    def pending(self, group: str, partitions: Iterable[Partition]) -> bool:
        """Tell whether an open transaction may yet move a group's offsets in these partitions."""
        return any(place in opened.offsets.get(group, {}) for opened in self._open.values() for place in partitions)

    def take_over(self, transactional_id: str) -> int:
        """Return a new epoch of a transactional id; what was open under it is aborted (InitProducerId)."""
        self._epochs[transactional_id] = self._epochs.get(transactional_id, -1) + 1
        if opened := self._open.pop(transactional_id, None):
            self._end(opened, End.ABORTED)
        return self._epochs[transactional_id]

    def open(self, transactional_id: str, epoch: int) -> Transaction:
        """Open a transaction. PublishFailed: the producer was replaced."""
        transaction = self._open[transactional_id] = self._check(Transaction(transactional_id, epoch))
        return transaction

    def send(self, transaction: Transaction, outputs: Sequence[Output]) -> None:
        """Store outputs, invisible until the commit."""
        self._check(transaction)
        for output in outputs:
            self._append(output.out_topic, output.key, output.value, output.headers, transaction)

    def send_offsets(self, transaction: Transaction, group: str, positions: Positions, by: Membership) -> None:
        """Let a transaction move a group's offsets. FencedByGroup: the member is not, or no longer, in the group."""
        self._check(transaction)
        self.group(group).check(by)
        transaction.offsets.setdefault(group, {}).update(positions)

    def end(self, transaction: Transaction, end: End) -> None:
        """Commit or abort a transaction."""
        del self._open[self._check(transaction).transactional_id]
        self._end(transaction, end)

    def _end(self, transaction: Transaction, end: End) -> None:
        transaction.end = end
        for partition in sorted(transaction.touched):
            self.log(partition).append(Slot(next(self._numbers), None, None))
        if end is End.COMMITTED:
            for group, positions in transaction.offsets.items():
                self.group(group).committed |= positions
        self.changed()

    def _check(self, transaction: Transaction) -> Transaction:
        if self._epochs.get(transaction.transactional_id) != transaction.epoch:
            raise PublishFailed(f"{transaction.transactional_id}: another producer has taken over")
        return transaction

    def _append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, transaction: Transaction | None
    ) -> Record:
        logs = self._logs(topic)
        partition = Partition(topic, 0 if key is None else partition_of(key, len(logs)))
        log = logs[partition.partition]
        record = Record(partition, log.end, int(time() * 1000), key, value, headers)
        log.append(Slot(next(self._numbers), record, transaction))
        if transaction is None:
            self.changed()
        else:
            transaction.touched.add(partition)
        return record

    def _logs(self, topic: str) -> list[Log]:
        return self._topics.setdefault(topic, [Log() for _ in range(self._partitions)])

    def _places(self) -> list[Partition]:
        return [Partition(topic, number) for topic, logs in self._topics.items() for number in range(len(logs))]
