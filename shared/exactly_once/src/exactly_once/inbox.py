"""Every statement on owner and outputs: set-based, run inside a transaction that the caller ends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once.batch import Batch, Output, Partition, Positions
from exactly_once.envelope import pack_headers, unpack_headers
from exactly_once.errors import Fenced

# A multi-row UPDATE promises no order of its locks, so every statement on owner first locks its rows in one order.
_MINE = """
WITH mine AS (
    SELECT o.* FROM owner o
    JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[])) AS p(topic, partition) USING (topic, partition)
    WHERE o."group" = :group ORDER BY topic, partition FOR UPDATE OF o)
"""

_BUMP = text(
    _MINE
    + """
UPDATE owner o SET epoch = o.epoch + 1 FROM mine m
WHERE (o."group", o.topic, o.partition) = (m."group", m.topic, m.partition)
RETURNING o.topic, o.partition, o.epoch, o.next_offset, o.pruned_to"""
)

_ADVANCE = text(
    _MINE  # two constants
    + """
UPDATE owner o SET next_offset = p.behind FROM mine m
JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:epochs AS bigint[]),
            CAST(:start AS bigint[]), CAST(:behind AS bigint[])) AS p(topic, partition, epoch, start, behind)
    USING (topic, partition)
WHERE (o."group", o.topic, o.partition) = (m."group", m.topic, m.partition)
  AND o.epoch = p.epoch AND o.next_offset = p.start"""
)

_PRUNE = text(
    _MINE  # noqa: S608  # two constants
    + """,
advanced AS (
    UPDATE owner o SET pruned_to = p.published FROM mine m
    JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:epochs AS bigint[]),
                CAST(:published AS bigint[])) AS p(topic, partition, epoch, published) USING (topic, partition)
    WHERE (o."group", o.topic, o.partition) = (m."group", m.topic, m.partition)
      AND o.epoch = p.epoch AND o.pruned_to < p.published
    RETURNING o."group", o.topic, o.partition, o.pruned_to)
DELETE FROM outputs u USING advanced a
WHERE (u."group", u.topic, u.partition) = (a."group", a.topic, a.partition) AND u."offset" < a.pruned_to"""
)

_ADOPT = text("""
INSERT INTO owner ("group", topic, partition, epoch, next_offset, pruned_to)
SELECT :group, p.topic, p.partition, 1, p.start, p.start
FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:start AS bigint[])) AS p(topic, partition, start)
ORDER BY p.topic, p.partition ON CONFLICT DO NOTHING""")

_READ = text(
    """
SELECT o.topic, o.partition, o.epoch, o.next_offset, o.pruned_to FROM owner o
JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[])) AS p(topic, partition) USING (topic, partition)
WHERE o."group" = :group"""
)

_STORE = text("""
INSERT INTO outputs ("group", topic, partition, "offset", out_topic, key, value, headers)
SELECT :group, u.topic, u.partition, u."offset", u.out_topic, u.key, u.value, u.headers
FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[]),
            CAST(:out_topics AS text[]), CAST(:keys AS bytea[]), CAST(:values AS bytea[]), CAST(:headers AS bytea[]))
    WITH ORDINALITY AS u(topic, partition, "offset", out_topic, key, value, headers, place)
ORDER BY u.place""")

_STORED = text("""
SELECT u.topic, u.partition, u."offset", u.out_topic, u.key, u.value, u.headers FROM outputs u
JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:start AS bigint[])) AS p(topic, partition, start)
    USING (topic, partition)
WHERE u."group" = :group AND u."offset" >= p.start ORDER BY u.seq""")


class Owned(NamedTuple):
    """An owner row: who may move the position, the position, and how far stored outputs are gone."""

    epoch: int
    next_offset: int
    pruned_to: int


@dataclass(frozen=True)
class Inbox:
    """The inbox of one group."""

    group: str

    async def bump(self, connection: AsyncConnection, partitions: Iterable[Partition]) -> dict[Partition, Owned]:
        """Take new epochs; waits for whatever commit of a predecessor may still be running."""
        return _owned(await connection.execute(_BUMP, self._where(partitions)))

    async def adopt(self, connection: AsyncConnection, start: Positions) -> None:
        """Make owner rows for partitions that were never consumed, at their first offset."""
        await connection.execute(_ADOPT, self._where(start) | {"start": list(start.values())})

    async def read(self, connection: AsyncConnection, partitions: Iterable[Partition]) -> dict[Partition, Owned]:
        """Return the owner rows as they are now, without a lock."""
        return _owned(await connection.execute(_READ, self._where(partitions)))

    async def advance(self, connection: AsyncConnection, batch: Batch, epochs: Positions) -> None:
        """Move the positions of a batch; the first statement of its transaction. Fenced: another one owns them."""
        places = self._where(batch.end) | {
            "epochs": [epochs[partition] for partition in batch.end],
            "start": [batch.start[partition] for partition in batch.end],
            "behind": list(batch.end.values()),
        }
        moved = await connection.execute(_ADVANCE, places)
        if moved.rowcount != len(batch.end):
            raise Fenced(f"{self.group}: {len(batch.end) - moved.rowcount} of the batch's positions have another owner")

    async def store(self, connection: AsyncConnection, outputs: Sequence[Output]) -> None:
        """Store encoded outputs in the order of `outputs`."""
        columns: dict[str, Any] = {
            "group": self.group,
            "topics": [output.source.topic for output in outputs],
            "partitions": [output.source.partition for output in outputs],
            "offsets": [output.offset for output in outputs],
            "out_topics": [output.out_topic for output in outputs],
            "keys": [output.key for output in outputs],
            "values": [output.value for output in outputs],
            "headers": [pack_headers(output.headers) for output in outputs],
        }
        await connection.execute(_STORE, columns)

    async def stored(self, connection: AsyncConnection, start: Positions) -> list[Output]:
        """Return the stored outputs of inputs from `start` on, in the order in which they were decided."""
        rows = await connection.execute(_STORED, self._where(start) | {"start": list(start.values())})
        return [
            Output(Partition(topic, partition), offset, out_topic, key, value, unpack_headers(headers))
            for topic, partition, offset, out_topic, key, value, headers in rows
        ]

    async def prune(self, connection: AsyncConnection, published: Positions, epochs: Positions) -> None:
        """Drop stored outputs of inputs below `published`, the positions of an answered commit."""
        places = self._where(published) | {
            "epochs": [epochs[partition] for partition in published],
            "published": list(published.values()),
        }
        await connection.execute(_PRUNE, places)

    def _where(self, partitions: Iterable[Partition]) -> dict[str, Any]:
        topics, numbers = zip(*partitions, strict=True)
        return {"group": self.group, "topics": list(topics), "partitions": list(numbers)}


def _owned(rows: Iterable[Any]) -> dict[Partition, Owned]:
    return {Partition(topic, partition): Owned(*columns) for topic, partition, *columns in rows}
