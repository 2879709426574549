"""The relay's statements on its own row and on the outbox, each in a transaction that the caller ends."""

import uuid
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once.batch import Output, Partition
from exactly_once.envelope import unpack_headers

LEASE_S = 5
MOST_BYTES = 8 << 20  # of a batch: what a relay holds in memory, and publishes within its deadline

_INTRODUCE = text("""
INSERT INTO relay (name, epoch, last, rows, lease_until) VALUES (:name, 0, 0, '{}', now()) ON CONFLICT DO NOTHING""")

_LEASE = text("""
UPDATE relay SET holder = :holder, lease_until = now() + make_interval(secs => :seconds)
WHERE name = :name AND (holder = :holder OR lease_until < now()) RETURNING 1""")

_RELEASE = text("UPDATE relay SET lease_until = now() WHERE name = :name AND holder = :holder")

_BUMP = text("UPDATE relay SET epoch = epoch + 1 WHERE name = :name RETURNING epoch, last, batch, rows")

# The number is drawn, and the fence checked, in the statement that takes the rows: a relay that stalled in between
# finds another epoch. Rows are taken only when no earlier batch is left, which `_DELETE` sees to.
_LABEL = text("""
WITH picked AS (
    SELECT array_agg(id ORDER BY id) AS ids FROM (
        SELECT id, sum(octet_length(value) + octet_length(headers)) OVER w AS bytes, row_number() OVER w AS place
        FROM (SELECT * FROM outbox ORDER BY id LIMIT :most) AS first WINDOW w AS (ORDER BY id)) AS sized
    WHERE bytes <= :most_bytes OR place = 1)
UPDATE relay SET last = last + 1, batch = :batch, rows = picked.ids FROM picked
WHERE name = :name AND epoch = :epoch AND batch IS NULL AND picked.ids IS NOT NULL
RETURNING last, rows""")

_ROWS = text("""
SELECT id, out_topic, key, value, headers FROM outbox WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id""")

_DELETE = text("""
WITH settled AS (
    UPDATE relay SET batch = NULL, rows = '{}' WHERE name = :name AND epoch = :epoch AND batch = :batch RETURNING 1),
gone AS (DELETE FROM outbox USING settled WHERE id = ANY(CAST(:ids AS bigint[])))
SELECT count(*) FROM settled""")

_RING = text("SELECT pg_notify(:channel, '')")

_EPOCH = text("SELECT epoch FROM relay WHERE name = :name")


class Label(NamedTuple):
    """A numbered batch of outbox rows: at most one is on its way."""

    number: int
    batch: uuid.UUID
    ids: list[int]


class Taken(NamedTuple):
    """What a relay finds when it takes over: its epoch, the last number, and the batch that was on its way."""

    epoch: int
    last: int
    label: Label | None


@dataclass(frozen=True)
class RelayStore:
    """The relay row of one service."""

    name: str

    @property
    def channel(self) -> str:
        """The channel of PostgreSQL's NOTIFY on which the leader is woken."""
        return f"{self.name}.outbox"

    async def introduce(self, connection: AsyncConnection) -> None:
        """Make the row, once."""
        await connection.execute(_INTRODUCE, {"name": self.name})

    async def lease(self, connection: AsyncConnection, holder: str) -> bool:
        """Take or renew the lease; False where another one holds it."""
        places = {"name": self.name, "holder": holder, "seconds": LEASE_S}
        return (await connection.execute(_LEASE, places)).first() is not None

    async def release(self, connection: AsyncConnection, holder: str) -> None:
        """Let the lease go at once, so that a successor need not wait for its end."""
        await connection.execute(_RELEASE, {"name": self.name, "holder": holder})

    async def bump(self, connection: AsyncConnection) -> Taken:
        """Take a new epoch: whoever labels with an older one is refused."""
        epoch, last, batch, ids = (await connection.execute(_BUMP, {"name": self.name})).one()
        return Taken(epoch, last, Label(last, batch, list(ids)) if batch else None)

    async def label(self, connection: AsyncConnection, epoch: int, most: int) -> Label | None:
        """Give the oldest rows a number as one batch; None where there are none, or this relay is fenced.

        A batch holds `most` rows, or fewer where they are large.
        """
        batch = uuid.uuid4()
        places = {"name": self.name, "epoch": epoch, "batch": batch, "most": most, "most_bytes": MOST_BYTES}
        row = (await connection.execute(_LABEL, places)).first()
        return Label(row.last, batch, list(row.rows)) if row else None

    async def is_fenced(self, connection: AsyncConnection, epoch: int) -> bool:
        """Tell whether another relay has taken over."""
        return (await connection.execute(_EPOCH, {"name": self.name})).scalar_one() != epoch  # type: ignore[no-any-return]

    async def rows(self, connection: AsyncConnection, label: Label) -> list[Output]:
        """Return a batch's rows in order, as outputs of the outbox."""
        rows = await connection.execute(_ROWS, {"ids": label.ids})
        source = Partition("outbox", 0)
        return [
            Output(source, row_id, topic, key, value, unpack_headers(headers))
            for row_id, topic, key, value, headers in rows
        ]

    async def delete(self, connection: AsyncConnection, epoch: int, label: Label) -> bool:
        """Delete a published batch; False where this relay is fenced."""
        places = {"name": self.name, "epoch": epoch, "batch": label.batch, "ids": label.ids}
        settled: int = (await connection.execute(_DELETE, places)).scalar_one()
        return settled == 1

    async def ring(self, connection: AsyncConnection) -> None:
        """Tell the relay that leads, wherever it runs, that rows were committed."""
        await connection.execute(_RING, {"channel": self.channel})
