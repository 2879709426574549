"""What a request changes and what it tells of it, committed together: a connection, and the events beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import problems
from chassis.database import Database
from chassis.limiting import Backlog
from chassis.tracing import current_traceparent
from exactly_once import Event, Outbox, Relay


class Publication:
    """A database transaction that may publish: what is told in it is published after its commit, and only then."""

    def __init__(self, connection: AsyncConnection, outbox: Outbox) -> None:
        self.connection = connection
        self._outbox = outbox

    def told(self, *events: Event, correlation_id: str) -> dict[str, Any]:
        """Return the parameters of an `exactly_once.outbox.insertion`, for a statement that does more than to tell."""
        return self._outbox.columns(events, correlation_id=correlation_id, traceparent=current_traceparent())

    async def tell(self, *events: Event, correlation_id: str) -> None:
        """Publish events with this transaction; `correlation_id` names the journey they belong to."""
        traceparent = current_traceparent()
        await self._outbox.put(self.connection, events, correlation_id=correlation_id, traceparent=traceparent)


class Publisher:
    """Opens publications, and wakes the relay behind their commits."""

    def __init__(self, database: Database, outbox: Outbox, relay: Relay, backlog: Backlog) -> None:
        self._database, self._outbox, self._relay, self._backlog = database, outbox, relay, backlog

    @asynccontextmanager
    async def publication(self) -> AsyncIterator[Publication]:
        """Yield a publication; it is committed behind the block and rolled back when the block raises.

        Problem 503: too much waits to be published already.
        """
        await self._backlog.check(self._database)
        async with self._database.transaction() as connection:
            yield Publication(connection, self._outbox)
        self._relay.wake()

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[Publication]:
        """Yield a publication of which each statement is a transaction, for those that change and tell in one.

        Problem 503: as for `publication`.
        """
        await self._backlog.check(self._database)
        async with self._database.statements() as connection:
            yield Publication(connection, self._outbox)
        self._relay.wake()


async def _publisher(request: Request) -> Publisher:
    publisher: Publisher | None = getattr(request.app.state, "publisher", None)
    if publisher is None:
        raise problems.unavailable("the service has not started yet")
    return publisher


ThePublisher = Annotated[Publisher, Depends(_publisher)]
