"""The values that pass through the loop: records, entries, batches and outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from exactly_once.envelope import Headers
from exactly_once.event import Event


class Partition(NamedTuple):
    """A partition of a topic, by the topic's logical name."""

    topic: str
    partition: int


Positions = dict[Partition, int]


class Record(NamedTuple):
    """What Kafka stores, with the coordinate where it stores it."""

    source: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Rejection(NamedTuple):
    """Why a record becomes a dead letter. `kind` is `undecodable`, `rejected`, `conflict` or `bug`."""

    kind: str
    why: str


class Redrive(NamedTuple):
    """The dead letter that a record repeats: whose it was, under which id, and which attempt it ended."""

    group: str
    event_id: str
    attempt: int


class Entry(NamedTuple):
    """A record on its way through a batch: decoded, or rejected, or of a type that nobody here handles.

    `attempt` counts how often a dead letter of this id was redriven.
    """

    record: Record
    event_id: str
    event: Event | None
    rejection: Rejection | None = None
    outcome: Any = None
    redrive: Redrive | None = None
    attempt: int = 0

    def rejected(self, kind: str, why: str) -> "Entry":
        """Return this entry as a dead letter to be."""
        return self._replace(rejection=Rejection(kind, why))


class Output(NamedTuple):
    """An encoded event or dead letter, and the input that caused it."""

    source: Partition
    offset: int
    out_topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True)
class Batch:
    """Entries in order, with the position of each touched partition before (`start`) and behind (`end`) them."""

    entries: Sequence[Entry]
    start: Positions
    end: Positions

    def halves(self) -> Iterator["Batch"]:
        """Split in two: the first ends where the second begins, in every partition."""
        middle = len(self.entries) // 2
        first, second = self.entries[:middle], self.entries[middle:]
        meet = dict(self.end)
        for entry in reversed(second):
            meet[entry.record.source] = entry.record.offset
        yield Batch(first, self.start, meet)
        yield Batch(second, meet, self.end)
