"""The processors with which the library is measured: one that remembers nothing, and one that keeps accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from hops_records import ParcelWeighed, PostagePriced
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once import Event, Processor

ACCOUNTS = "CREATE TABLE accounts (parcel_id text PRIMARY KEY, times bigint NOT NULL, cents bigint NOT NULL)"
LOCK = text("""
SELECT parcel_id, times, cents FROM accounts WHERE parcel_id = ANY(CAST(:ids AS text[])) ORDER BY parcel_id FOR UPDATE
""")
SAVE = text("""
INSERT INTO accounts (parcel_id, times, cents)
SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:times AS bigint[]), CAST(:cents AS bigint[]))
ON CONFLICT (parcel_id) DO UPDATE SET times = excluded.times, cents = excluded.cents""")


def answer(parcel: ParcelWeighed) -> PostagePriced:
    """Price a parcel by its weight."""
    return PostagePriced(
        parcel_id=parcel.parcel_id,
        number=parcel.number,
        cents=100 + parcel.grams // 10,
        sender=parcel.sender,
        recipient=parcel.recipient,
    )


@dataclass
class Accounts:
    """How often each parcel of a batch was weighed, and what it has cost so far."""

    known: dict[str, tuple[int, int]]

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        """Read and lock the accounts of a batch."""
        ids = list({event.parcel_id for event in events if isinstance(event, ParcelWeighed)})
        return cls({name: (times, cents) for name, times, cents in await connection.execute(LOCK, {"ids": ids})})

    async def save(self, connection: AsyncConnection) -> None:
        """Write them all in one statement."""
        times, cents = zip(*self.known.values(), strict=True)
        await connection.execute(SAVE, {"ids": list(self.known), "times": list(times), "cents": list(cents)})


def stateless(name: str) -> Processor:
    """Return a processor that only answers."""
    processor = Processor(name)

    @processor.handles(ParcelWeighed)
    def price(parcel: ParcelWeighed) -> PostagePriced:
        return answer(parcel)

    return processor


def stateful(name: str) -> Processor:
    """Return a processor that keeps each parcel's account, and answers."""
    processor = Processor(name)

    @processor.handles(ParcelWeighed)
    def price(parcel: ParcelWeighed, accounts: Accounts) -> PostagePriced:
        priced = answer(parcel)
        times, cents = accounts.known.get(parcel.parcel_id, (0, 0))
        accounts.known[parcel.parcel_id] = times + 1, cents + priced.cents
        return priced

    return processor
