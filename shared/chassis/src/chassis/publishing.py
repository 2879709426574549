"""What a request changes and what it tells of it, committed together: a connection, and the events beside it."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Annotated, Any, Self

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import problems
from chassis.database import Database
from chassis.limiting import Backlog
from chassis.tracing import current_traceparent
from exactly_once import Event, Outbox, Relay


class Publication(AbstractAsyncContextManager["Publication"]):
    """A connection and the events told beside its changes: they are published after their commit, and only then."""

    connection: AsyncConnection  # while it is open

    def __init__(self, publisher: "Publisher", lent: AbstractAsyncContextManager[AsyncConnection]) -> None:
        self._publisher, self._lent = publisher, lent

    async def __aenter__(self) -> Self:
        await self._publisher.check_backlog()
        self.connection = await self._lent.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._lent.__aexit__(kind, error, traceback)
        if error is None:
            self._publisher.relay.wake()

    def row_of(self, event: Event, *, correlation_id: str) -> dict[str, Any]:
        """Return the parameters of an `exactly_once.outbox.insertion`, for a statement that does more than to tell."""
        outbox = self._publisher.outbox
        return outbox.row(event, correlation_id=correlation_id, traceparent=current_traceparent())

    async def tell(self, *events: Event, correlation_id: str) -> None:
        """Publish events with this transaction; `correlation_id` names the journey they belong to."""
        outbox, traceparent = self._publisher.outbox, current_traceparent()
        await outbox.put(self.connection, events, correlation_id=correlation_id, traceparent=traceparent)


class Publisher:
    """Opens publications, and wakes the relay behind their commits."""

    def __init__(self, database: Database, outbox: Outbox, relay: Relay, backlog: Backlog) -> None:
        self.outbox, self.relay = outbox, relay
        self._database, self._backlog = database, backlog

    async def check_backlog(self) -> None:
        """Problem 503: too much waits to be published already."""
        await self._backlog.check(self._database)

    def publication(self) -> Publication:
        """Return a publication; it is committed behind its block, and rolled back when the block raises.

        Problem 503: as for `check_backlog`.
        """
        return Publication(self, self._database.transaction())

    def statements(self) -> Publication:
        """Return a publication of which each statement is a transaction, for those that change and tell in one.

        Problem 503: as for `check_backlog`.
        """
        return Publication(self, self._database.statements())


def publisher_of(request: Request) -> Publisher:
    """Return the publisher of the app that is asked. Problem 503: there is none yet."""
    publisher: Publisher | None = getattr(request.app.state, "publisher", None)
    if publisher is None:
        raise problems.unavailable("the service has not started yet")
    return publisher


async def _publisher(request: Request) -> Publisher:  # or FastAPI would ask a thread
    return publisher_of(request)


ThePublisher = Annotated[Publisher, Depends(_publisher)]
