"""What has been read and decoded, and not been decided: the next full batch while PostgreSQL decides this one."""

import asyncio
from typing import Self

from exactly_once.batch import Batch, Entry, Positions, Record
from exactly_once.codec import Codec
from exactly_once.edge import Consumer
from exactly_once.kafka.membership import Membership
from exactly_once.pace import Portion, stretches

MOST_BYTES = 8 << 20  # of a batch, as it came: what is held in memory, and published within a transaction's deadline
AT_A_TIME = 500  # records: those that are suddenly larger overshoot the bound by one poll
AT_FIRST = 50  # while nothing is known of how large they are


class Reading:
    """Reads for one membership, from where its consumer stands.

    As a context manager it leaves nothing running: what was read ahead and is not wanted any more is forgotten, with
    its failure, which comes again: behind the recovery it is read anew.
    """

    def __init__(self, consumer: Consumer, codec: Codec, membership: Membership, portion: Portion) -> None:
        """Start with nothing. A batch has a portion's records, or fewer where they are large."""
        self._consumer = consumer
        self._codec = codec
        self._membership = membership
        self._portion = portion
        self._entries: list[Entry] = []
        self._bytes = 0
        self._largest = MOST_BYTES // AT_FIRST  # of the last poll
        self._reached: Positions = {}
        self._ahead: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Tell whether there is as much as a batch may have."""
        return len(self._entries) >= self._portion.records or self._bytes >= MOST_BYTES

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._entries)

    def start(self) -> None:
        """Read what has arrived, behind the caller's back, until it has `caught_up`."""
        self._ahead = asyncio.create_task(self._read(0.0))

    async def caught_up(self) -> None:
        """Wait for what is being read. Raises what that failed with, as `more` does."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead

    async def more(self, patience_s: float) -> None:
        """Read what arrives within `patience_s`, unless there is enough. It fails as a poll; Retryable: no registry."""
        if not self.is_full:
            await self._read(patience_s)

    async def _read(self, patience_s: float) -> None:
        while True:
            wanted = min(self._portion.records - len(self._entries), AT_A_TIME, self._fitting)
            records, reached = await self._consumer.poll(self._membership, patience_s, wanted)
            await self._codec.learn(records)
            self._entries += [self._codec.decode(each) async for few in stretches(records) for each in few]
            sizes = [_size(record) for record in records]
            self._bytes += sum(sizes)
            self._largest = max(sizes, default=self._largest)
            self._reached = reached
            if self.is_full or len(records) < wanted:
                return
            patience_s = 0.0

    @property
    def _fitting(self) -> int:
        """How many records as large as the last ones still fit; one at least."""
        return max(1, (MOST_BYTES - self._bytes) // max(1, self._largest))

    def batch(self, positions: Positions) -> Batch:
        """Hand over everything as a batch that begins at these positions, where the last one ended."""
        end = moved(positions, self._reached)
        entries, self._entries, self._bytes = self._entries, [], 0
        return Batch(entries, {partition: positions[partition] for partition in end}, end)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)


def _size(record: Record) -> int:
    size = len(record.key or b"") + len(record.value or b"")
    for _, value in record.headers:  # a loop: a third of what `sum` over a generator takes
        size += len(value or b"")
    return size


def moved(before: Positions, after: Positions) -> Positions:
    """Return the positions that are not what they were."""
    return {partition: position for partition, position in after.items() if position != before[partition]}
