"""Two small processors for the faults: one adds amounts up in PostgreSQL and tells each total, one repeats them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once import Event, Processor, RejectRecord

NAME = "tally"
UNWANTED, BUGGY = 13, 0
LEDGER = "CREATE TABLE ledger (account text PRIMARY KEY, number bigint NOT NULL, total bigint NOT NULL)"

_LOAD = text("SELECT account, number, total FROM ledger WHERE account = ANY(:accounts) ORDER BY account FOR UPDATE")
_SAVE = text("""
INSERT INTO ledger (account, number, total) VALUES (:account, :number, :total)
ON CONFLICT (account) DO UPDATE SET number = excluded.number, total = excluded.total""")


class Added(Event, topic="added", key="account"):
    account: str
    amount: int


class Totalled(Event, topic="totalled", key="account"):
    account: str
    number: int
    total: int


class Sum(NamedTuple):
    """How many amounts an account has had, and their total."""

    number: int = 0
    total: int = 0


@dataclass
class Ledger:
    """The accounts of a batch."""

    sums: dict[str, Sum]

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        accounts = sorted({event.account for event in events if isinstance(event, Added)})
        rows = await connection.execute(_LOAD, {"accounts": accounts})
        return cls({row.account: Sum(row.number, row.total) for row in rows})

    async def save(self, connection: AsyncConnection) -> None:
        rows = [{"account": account, **each._asdict()} for account, each in self.sums.items()]
        if rows:
            await connection.execute(_SAVE, rows)


def processor() -> Processor:
    """Return the processor."""
    made = Processor(NAME)

    @made.handles(Added)
    def add(event: Added, ledger: Ledger) -> Totalled:
        if event.amount == UNWANTED:
            raise RejectRecord("nobody wants thirteen")
        before = ledger.sums.get(event.account, Sum())
        if event.amount == BUGGY:
            raise ZeroDivisionError("a bug")
        now = Sum(before.number + 1, before.total + event.amount)
        ledger.sums[event.account] = now
        return Totalled(account=event.account, number=now.number, total=now.total)

    return made


def repeating() -> Processor:
    """Return a processor that keeps nothing: what it tells of an amount is that amount alone."""
    made = Processor(NAME)

    @made.handles(Added)
    def repeat(event: Added) -> Totalled:
        if event.amount == UNWANTED:
            raise RejectRecord("nobody wants thirteen")
        if event.amount == BUGGY:
            raise ZeroDivisionError("a bug")
        return Totalled(account=event.account, number=1, total=event.amount)

    return made


class Row(NamedTuple):
    """An input: who, how much, under which event id; and the attempt of the dead letter that it repeats, if any."""

    account: str
    amount: int
    event_id: str
    redrives: int | None = None


@dataclass
class Expected:
    """What must come of inputs, by a model that shares nothing with the library."""

    sums: dict[str, Sum] = field(default_factory=dict)
    outputs: dict[str, list[Sum]] = field(default_factory=dict)
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        expected, seen, attempts = cls(), dict[str, Row](), Counter[str]()
        for row in rows:
            if row.redrives is not None:  # of a rejected one: its first repetition is rejected again, a second is none
                if row.redrives == attempts[row.event_id]:
                    attempts[row.event_id] += 1
                    expected.letters[row.event_id, "rejected"] += 1
                continue
            known = seen.get(row.event_id)
            seen.setdefault(row.event_id, row)
            if known == row:
                continue
            kind = "conflict" if known else {UNWANTED: "rejected", BUGGY: "bug"}.get(row.amount)
            if kind is not None:
                expected.letters[row.event_id, kind] += 1
                continue
            before = expected.sums.get(row.account, Sum())
            expected.sums[row.account] = Sum(before.number + 1, before.total + row.amount)
            expected.outputs.setdefault(row.account, []).append(expected.sums[row.account])
        return expected

    @classmethod
    def without_memory(cls, rows: Iterable[Row]) -> Self:
        """Return what must come of them where nothing is kept: of each record what comes of it alone."""
        expected = cls()
        for row in rows:
            kind = {UNWANTED: "rejected", BUGGY: "bug"}.get(row.amount)
            if kind is None:
                expected.outputs.setdefault(row.account, []).append(Sum(1, row.amount))
            else:
                expected.letters[row.event_id, kind] += 1
        return expected
