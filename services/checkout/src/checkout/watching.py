"""Follows orders for the customers who watch them: their standing at once, then each change, until the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple
from uuid import UUID

import structlog
from asyncpg import PostgresError
from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from chassis.database import Database
from checkout import store
from checkout.domain import ENDS, RANKS, Cancellation
from contracts import OrderStatus
from exactly_once.transactions import AWAY

LOOK_EVERY_S = 0.25
# As with the domain's ranks: what has come of a wish to cancel only moves forward, and equal ranks exclude each other.
WISHES: dict[str | None, int] = {None: 0, Cancellation.ASKED: 1, Cancellation.GRANTED: 2, Cancellation.REFUSED: 2}

log = structlog.get_logger(__name__)


class Standing(NamedTuple):
    """All of an order that changes."""

    status: str
    cancellation: str | None

    @property
    def tag(self) -> str:
        """What is equal for equal standings of one order: an entity tag, and the id of an event."""
        return f"{self.status}-{self.cancellation}" if self.cancellation else self.status

    @property
    def ended(self) -> bool:
        """Tell whether nothing follows."""
        return OrderStatus(self.status) in ENDS

    @property
    def rank(self) -> tuple[int, int]:
        """What tells earlier standings of one order from later ones: neither part ever goes back."""
        return RANKS[OrderStatus(self.status)], WISHES[self.cancellation]


@dataclass
class _Watched:
    standing: Standing
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0

    def learn(self, standing: Standing) -> None:
        """Take what was read, and wake whoever waits for it; nothing where more is known: reads overtake each other."""
        if standing.rank > self.standing.rank:
            self.standing = standing
            self.changed.set()
            self.changed = asyncio.Event()


class Watch:
    """Looks at every order that is watched in this process, with one statement for all of them a quarter of a second.

    It looks and does not listen: the projection may run in another process, and a NOTIFY takes a lock that all commits
    of a database share.
    """

    def __init__(self, database: Database, stopping: asyncio.Event) -> None:
        self._database = database
        self._stopping = stopping
        self._watched: dict[UUID, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    async def changes(self, order_id: UUID, now: Standing, longest_s: float) -> AsyncIterator[Standing | None]:
        """Yield each standing after `now` until the order's end or the service's; None after `longest_s` of silence."""
        watched = self._watched.setdefault(order_id, _Watched(now))
        watched.learn(now)
        watched.watchers += 1
        try:
            while not now.ended:
                self._look_on()
                with suppress(TimeoutError):
                    async with asyncio.timeout(longest_s):
                        while watched.standing == now and not self._stopping.is_set():
                            await watched.changed.wait()
                if self._stopping.is_set():
                    return
                yield None if watched.standing == now else watched.standing
                now = watched.standing
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                del self._watched[order_id]

    def _look_on(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while self._watched and not self._stopping.is_set():
            await self._learn()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._stopping.wait()
        for watched in self._watched.values():
            watched.changed.set()

    async def _learn(self) -> None:
        try:
            async with self._database.statements() as connection:
                found = await store.standings(connection, list(self._watched))
        except (*AWAY, SQLAlchemyError, PostgresError) as error:  # whoever watches goes on watching
            log.warning("watch.blind", error=type(error).__name__)
            return
        for order_id, status, cancellation in found:
            watched = self._watched.get(order_id)
            if watched is not None:
                watched.learn(Standing(status, cancellation))


async def _watch(request: Request) -> Watch:
    state = request.app.state
    if not hasattr(state, "watch"):
        state.watch = Watch(state.database, state.stopping)
    watch: Watch = state.watch
    return watch


TheWatch = Annotated[Watch, Depends(_watch)]
