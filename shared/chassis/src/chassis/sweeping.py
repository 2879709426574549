"""Timers: a sweep finds what is due, marks it as told and puts its commands into the outbox, in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exactly_once import Event, Outbox, Relay
from exactly_once.envelope import Provenance
from exactly_once.transactions import transaction
from exactly_once.worker import Worker

EVERY_S = 1.0
MOST = 500  # commands a transaction: it must end well within the bounds that end a zombie's


class Due(NamedTuple):
    """A command that is due, under an event id that is the same however often the command is told."""

    command: Event
    event_id: str
    correlation_id: str


Sweep = Callable[[AsyncConnection, int], Awaitable[Sequence[Due]]]  # at most so many, marked as told


class Sweeper(Worker):
    """Runs a service's sweeps each second. Every process of the service runs one: rows that one holds, others skip."""

    def __init__(self, sweeps: Iterable[Sweep], *, engine: AsyncEngine, outbox: Outbox, relay: Relay) -> None:
        super().__init__("sweeps")
        self._sweeps = list(sweeps)
        self._engine, self._outbox, self._relay = engine, outbox, relay

    async def _work(self) -> None:
        while not self._stopping.is_set():
            found = [await self._run_sweep(sweep) for sweep in self._sweeps]
            self._why = None
            self._backoff.reset()
            if max(found, default=0) < MOST:
                await self._rest()

    async def _close(self) -> None:
        """Hold nothing between two sweeps."""

    async def _run_sweep(self, sweep: Sweep) -> int:
        async with transaction(self._engine) as connection:
            due = await sweep(connection, MOST)
            told = [(each.command, Provenance(each.event_id, each.correlation_id, each.event_id)) for each in due]
            if told:
                await self._outbox.put_as(connection, told)
        if told:
            self._relay.wake()
        return len(told)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(EVERY_S):
                await self._stopping.wait()
        except TimeoutError:
            return
