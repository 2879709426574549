"""Timers: a sweep finds what is due, marks it as told and puts its commands into the outbox, in one transaction."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.rounds import Rounds
from exactly_once import Event, Outbox, Relay
from exactly_once.envelope import Provenance
from exactly_once.transactions import transaction

EVERY_S = 1.0
MOST = 500  # commands a transaction: it must end well within the bounds that end a zombie's


class Due(NamedTuple):
    """A command that is due, under an event id that is the same however often the command is told."""

    command: Event
    event_id: str
    correlation_id: str


Sweep = Callable[[AsyncConnection, int], Awaitable[Sequence[Due]]]  # at most so many, marked as told


class Sweeper(Rounds):
    """Runs a service's sweeps each second. Every process of the service runs one: rows that one holds, others skip."""

    def __init__(self, sweeps: Iterable[Sweep], *, engine: AsyncEngine, outbox: Outbox, relay: Relay) -> None:
        super().__init__("sweeps", EVERY_S)
        self._sweeps = list(sweeps)
        self._engine, self._outbox, self._relay = engine, outbox, relay

    async def _go_round(self) -> bool:
        found = [await self._run_sweep(sweep) for sweep in self._sweeps]
        return max(found, default=0) >= MOST

    async def _run_sweep(self, sweep: Sweep) -> int:
        async with transaction(self._engine) as connection:
            due = await sweep(connection, MOST)
            told = [(each.command, Provenance(each.event_id, each.correlation_id, each.event_id)) for each in due]
            if told:
                await self._outbox.put_as(connection, told)
        if told:
            self._relay.wake()
        return len(told)
