"""Every statement on claims: each event id is processed once, and re-opened only by a redrive that is not stale."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once.batch import Entry, Partition
from exactly_once.envelope import digest

Coordinate = tuple[Partition, int]

_COLUMNS = """
unnest(CAST(:ids AS text[]), CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[]),
       CAST(:digests AS bytea[]), CAST(:rejected AS bool[]))"""

_CLAIM = text(f"""
INSERT INTO claims ("group", event_id, topic, partition, "offset", digest, rejected)
SELECT :group, c.event_id, c.topic, c.partition, c."offset", c.digest, c.rejected
FROM {_COLUMNS} AS c(event_id, topic, partition, "offset", digest, rejected)
ON CONFLICT DO NOTHING RETURNING topic, partition, "offset\"""")  # noqa: S608  # a constant

# The compare-and-set: of two redrives of one letter the first wins, and a letter whose id was processed wins nothing.
_REOPEN = text("""
WITH asked AS (
    SELECT DISTINCT ON (r.event_id, r.attempt) r.* FROM unnest(
        CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:topics AS text[]), CAST(:partitions AS int[]),
        CAST(:offsets AS bigint[]), CAST(:digests AS bytea[]), CAST(:rejected AS bool[])) WITH ORDINALITY
        AS r(event_id, attempt, topic, partition, "offset", digest, rejected, place)
    ORDER BY r.event_id, r.attempt, r.place)
UPDATE claims c SET attempt = c.attempt + 1, topic = a.topic, partition = a.partition, "offset" = a."offset",
                    rejected = a.rejected, claimed_at = now()
FROM asked a
WHERE c."group" = :group AND c.event_id = a.event_id
  AND c.attempt = a.attempt AND c.rejected AND c.digest = a.digest
RETURNING c.topic, c.partition, c."offset", c.attempt""")

_SEEN = text("""
SELECT event_id, digest FROM claims WHERE "group" = :group AND event_id = ANY(CAST(:ids AS text[]))""")

# SKIP LOCKED: processes that prune side by side must not wait for each other in different orders.
_PRUNE = text("""
DELETE FROM claims WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM claims WHERE "group" = :group AND claimed_at < now() - CAST(:kept AS interval)
    ORDER BY claimed_at LIMIT :most FOR UPDATE SKIP LOCKED))""")


@dataclass(frozen=True)
class Claims:
    """The claims of one group."""

    group: str

    async def claim(self, connection: AsyncConnection, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries to handle: those that won their id, and as dead letters those that abuse another's."""
        ours = [entry for entry in entries if entry.redrive is None or entry.redrive.group == self.group]
        reopened = await self._reopen(connection, [entry for entry in ours if entry.redrive is not None])
        won = await self._insert(connection, [entry for entry in ours if _needs_a_claim(entry, reopened)])
        if len(won) == len(ours) and not reopened:  # nearly always: nothing came twice, nothing was redriven
            return ours
        won |= {_place(entry) for entry in ours if _place(entry) in reopened and _keeps_its_id(entry)}
        lost = [entry for entry in ours if _place(entry) not in won]
        abusers = await self._abusers(connection, lost, reopened) if lost else {}
        kept = won | abusers.keys()
        winners = (abusers.get(_place(entry), entry) for entry in ours if _place(entry) in kept)
        return [
            entry._replace(attempt=reopened[_place(entry)]) if _place(entry) in reopened else entry for entry in winners
        ]

    async def prune(self, connection: AsyncConnection, kept: dt.timedelta, most: int) -> int:
        """Drop the oldest claims that are older than `kept`, at most so many; return how many."""
        return (await connection.execute(_PRUNE, {"group": self.group, "kept": kept, "most": most})).rowcount

    async def _insert(self, connection: AsyncConnection, entries: Sequence[Entry]) -> set[Coordinate]:
        if not entries:
            return set()
        won = await connection.execute(_CLAIM, self._columns(entries, [entry.event_id for entry in entries]))
        if won.rowcount == len(entries):
            return {_place(entry) for entry in entries}
        return {(Partition(topic, partition), offset) for topic, partition, offset in won.all()}

    async def _reopen(self, connection: AsyncConnection, entries: Sequence[Entry]) -> dict[Coordinate, int]:
        """Re-open the claims of redriven letters; return the new attempt by the coordinate that won it."""
        redrives = [entry.redrive for entry in entries if entry.redrive is not None]
        if not redrives:
            return {}
        columns = self._columns(entries, [each.event_id for each in redrives])
        won = await connection.execute(_REOPEN, columns | {"attempts": [each.attempt for each in redrives]})
        return {(Partition(topic, partition), offset): attempt for topic, partition, offset, attempt in won}

    async def _abusers(
        self, connection: AsyncConnection, lost: Iterable[Entry], reopened: dict[Coordinate, int]
    ) -> dict[Coordinate, Entry]:
        ids = {_place(entry): _lost_id(entry, reopened) for entry in lost}
        seen = await connection.execute(_SEEN, {"group": self.group, "ids": list(ids.values())})
        known = {event_id: bytes(each) for event_id, each in seen}
        abusers = {}
        for entry in lost:
            claimed = known.get(ids[_place(entry)])
            if claimed is None:
                abusers[_place(entry)] = entry.rejected("conflict", "the claim that it would re-open is gone")
            elif claimed != _digest(entry):
                abusers[_place(entry)] = entry.rejected("conflict", "another record has this event id")
        return abusers

    def _columns(self, entries: Sequence[Entry], ids: list[str]) -> dict[str, Any]:
        return {
            "group": self.group,
            "ids": ids,
            "topics": [entry.record.source.topic for entry in entries],
            "partitions": [entry.record.source.partition for entry in entries],
            "offsets": [entry.record.offset for entry in entries],
            "digests": [_digest(entry) for entry in entries],
            "rejected": [entry.rejection is not None for entry in entries],
        }


def _place(entry: Entry) -> Coordinate:
    return entry.record.source, entry.record.offset


def _digest(entry: Entry) -> bytes:
    return digest(entry.record.key, entry.record.value)


def _keeps_its_id(entry: Entry) -> bool:
    return entry.redrive is not None and entry.redrive.event_id == entry.event_id


def _needs_a_claim(entry: Entry, reopened: dict[Coordinate, int]) -> bool:
    """Tell whether an entry's own id must be won: also of a letter that was undecodable and now has an id."""
    return entry.redrive is None or (_place(entry) in reopened and not _keeps_its_id(entry))


def _lost_id(entry: Entry, reopened: dict[Coordinate, int]) -> str:
    if entry.redrive is None or _place(entry) in reopened:
        return entry.event_id
    return entry.redrive.event_id
