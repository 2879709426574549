"""What the library's PostgreSQL half costs: the same claims, accounts and outputs, written in other ways.

In batches by hand, as objects, one record at a time: without Kafka, on events that are decoded already. Beside them,
with Kafka, the library's loop and an inbox whose outputs are sent without a transaction.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
from hops_records import RECIPIENT, ParcelWeighed, cents, headers, weighed
from processors import LOCK, SAVE
from side_by_side import MICROSECONDS, Figures, backends_s, cpu_s
from sqlalchemy import BigInteger, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from exactly_once.envelope import digest, pack_headers
from exactly_once.tables import claims, outputs, owner

GROUP = "by hand"
TOPIC = "weighed"
BATCH = 2_000  # as many as the library's loop takes under full load

CLAIM = text("""
INSERT INTO claims ("group", event_id, topic, partition, "offset", digest, rejected)
SELECT :group, c.event_id, :topic, 0, c."offset", c.digest, false
FROM unnest(CAST(:ids AS text[]), CAST(:offsets AS bigint[]), CAST(:digests AS bytea[]))
    AS c(event_id, "offset", digest)
ON CONFLICT DO NOTHING RETURNING event_id""")
MOVE = text("""UPDATE owner SET next_offset = :behind WHERE "group" = :group AND next_offset = :start""")
STORE = text("""
INSERT INTO outputs ("group", topic, partition, "offset", out_topic, key, value, headers)
SELECT :group, :topic, 0, o."offset", 'priced', o.key, o.value, o.headers
FROM unnest(CAST(:offsets AS bigint[]), CAST(:keys AS bytea[]), CAST(:values AS bytea[]), CAST(:headers AS bytea[]))
    WITH ORDINALITY AS o("offset", key, value, headers, place) ORDER BY o.place""")


class Base(DeclarativeBase):
    """What objects derive from."""


class Claim(Base):
    """A claim as an object."""

    __table__ = claims


class Stored(Base):
    """A stored output as an object."""

    __table__ = outputs


class Account(Base):
    """A parcel's account as an object."""

    __tablename__ = "accounts"
    parcel_id: Mapped[str] = mapped_column(primary_key=True)
    times: Mapped[int] = mapped_column(BigInteger)
    cents: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True)
class Arrival:
    """An input that is decoded, with its output encoded: what PostgreSQL is given of it."""

    number: int
    parcel_id: str
    event_id: str
    digest: bytes
    value: bytes = field(default=(RECIPIENT * 3)[:200].encode())

    @property
    def claim(self) -> dict[str, Any]:
        """Its row in claims."""
        where = {"group": GROUP, "topic": TOPIC, "partition": 0, "offset": self.number}
        return where | {"event_id": self.event_id, "digest": self.digest, "rejected": False}

    @property
    def output(self) -> dict[str, Any]:
        """Its row in outputs."""
        where = {"group": GROUP, "topic": TOPIC, "partition": 0, "offset": self.number, "out_topic": "priced"}
        return where | {"key": self.parcel_id.encode(), "value": self.value, "headers": HEADERS}


HEADERS = pack_headers(headers(0))
Way = Callable[[AsyncEngine, Sequence[Arrival]], Awaitable[None]]


def arrivals(numbers: range) -> list[Arrival]:
    """Return inputs."""
    made = (ParcelWeighed.model_validate(weighed(number)) for number in numbers)
    return [
        Arrival(
            each.number, each.parcel_id, f"weighed-{each.number}", digest(each.parcel_id.encode(), RECIPIENT.encode())
        )
        for each in made
    ]


async def in_batches(engine: AsyncEngine, batch: Sequence[Arrival]) -> None:
    """Write a batch in five statements, one transaction."""
    async with engine.begin() as connection:
        await _move(connection, batch)
        await _batch(connection, batch)


async def one_at_a_time(engine: AsyncEngine, batch: Sequence[Arrival]) -> None:
    """Write each record in the same statements, in a transaction of its own."""
    for each in batch:
        await in_batches(engine, [each])


async def as_objects(engine: AsyncEngine, batch: Sequence[Arrival]) -> None:
    """Write a batch as objects of a session, one transaction."""
    async with AsyncSession(engine) as session, session.begin():
        await _move(await session.connection(), batch)
        session.add_all(Claim(**each.claim) for each in batch)
        ids = {each.parcel_id for each in batch}
        found = await session.scalars(select(Account).where(Account.parcel_id.in_(ids)).with_for_update())
        known = {account.parcel_id: account for account in found}
        for each in batch:
            account = known.get(each.parcel_id)
            if account is None:
                account = known[each.parcel_id] = Account(parcel_id=each.parcel_id, times=0, cents=0)
                session.add(account)
            account.times += 1
            account.cents += cents(each.number)
        session.add_all(Stored(**each.output) for each in batch)


WAYS: dict[str, Way] = {
    "Core, in batches": in_batches,
    "objects": as_objects,
    "one record at a time": one_at_a_time,
}
CEILING = "Core, in batches"


@dataclass
class Store:
    """One way to write, in a database of its own."""

    engine: AsyncEngine
    database: str
    way: Way
    offered: int = 0

    async def open(self) -> None:
        """Make the row that holds the position."""
        own = {"group": GROUP, "topic": TOPIC, "partition": 0, "epoch": 1, "next_offset": 0, "pruned_to": 0}
        async with self.engine.begin() as connection:
            await connection.execute(insert(owner), own)

    async def measure(self, records: int) -> Figures:
        """Write so many records; return how fast that went and what it cost."""
        first, self.offered = self.offered, self.offered + records
        every, own = arrivals(range(first, self.offered)), psutil.Process()
        before, began = (cpu_s(own), backends_s(self.database)), time.monotonic()
        for start in range(0, records, BATCH):
            await self.way(self.engine, every[start : start + BATCH])
        took_s = time.monotonic() - began
        spent = cpu_s(own) - before[0], backends_s(self.database) - before[1]
        own_us, postgres_us = (each * MICROSECONDS / records for each in spent)
        return {"records/s": records / took_s, "own CPU µs": own_us, "PostgreSQL's CPU µs": postgres_us}


async def _move(connection: AsyncConnection, batch: Sequence[Arrival]) -> None:
    places = {"group": GROUP, "start": batch[0].number, "behind": batch[-1].number + 1}
    moved = await connection.execute(MOVE, places)
    if moved.rowcount != 1:
        raise RuntimeError(f"the position is not at {batch[0].number}")


async def _batch(connection: AsyncConnection, batch: Sequence[Arrival]) -> None:
    offsets = [each.number for each in batch]
    where = {"group": GROUP, "topic": TOPIC, "offsets": offsets}
    claimed = where | {"ids": [each.event_id for each in batch], "digests": [each.digest for each in batch]}
    await connection.execute(CLAIM, claimed)
    ids = sorted({each.parcel_id for each in batch})
    known = {name: (times, total) for name, times, total in await connection.execute(LOCK, {"ids": ids})}
    for each in batch:
        times, total = known.get(each.parcel_id, (0, 0))
        known[each.parcel_id] = times + 1, total + cents(each.number)
    times_of, cents_of = zip(*known.values(), strict=True)
    await connection.execute(SAVE, {"ids": list(known), "times": list(times_of), "cents": list(cents_of)})
    stored = {
        "keys": [each.parcel_id.encode() for each in batch],
        "values": [each.value for each in batch],
        "headers": [HEADERS] * len(batch),
    }
    await connection.execute(STORE, where | stored)
