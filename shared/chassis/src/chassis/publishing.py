"""What a request changes and what it tells of it, committed together: a session, and the events beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request
from opentelemetry.propagate import inject
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis.database import Database
from exactly_once import Event, Outbox, Relay


class Publication:
    """A database transaction that may publish: what is told in it is published after its commit, and only then."""

    def __init__(self, session: AsyncSession, outbox: Outbox) -> None:
        self.session = session
        self._outbox = outbox

    async def tell(self, *events: Event, correlation_id: str) -> None:
        """Publish events with this transaction; `correlation_id` names the journey they belong to."""
        carrier: dict[str, str] = {}
        inject(carrier)
        traceparent = carrier.get("traceparent", "")
        await self._outbox.put(self.session, events, correlation_id=correlation_id, traceparent=traceparent)


class Publisher:
    """Opens publications, and wakes the relay behind their commits."""

    def __init__(self, database: Database, outbox: Outbox, relay: Relay) -> None:
        self._database, self._outbox, self._relay = database, outbox, relay

    @asynccontextmanager
    async def publication(self) -> AsyncIterator[Publication]:
        """Yield a publication; it is committed behind the block and rolled back when the block raises."""
        async with self._database.transaction() as session:
            yield Publication(session, self._outbox)
        self._relay.wake()


async def _publisher(request: Request) -> Publisher:
    publisher: Publisher = request.app.state.publisher
    return publisher


ThePublisher = Annotated[Publisher, Depends(_publisher)]
