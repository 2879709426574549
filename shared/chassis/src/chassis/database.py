"""A service's database: the transactions of its requests end here, in bounded time, and nowhere in a service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Request
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chassis.at_hand import AtHand, driver_of
from chassis.settings import ServiceSettings
from chassis.turns import Turns

Connect = Callable[[], Awaitable[AsyncConnection]]
TakeBack = Callable[[AsyncConnection], Awaitable[None]]

WAIT_S = 1.0  # for a connection, be it free or new: whoever waits longer is told to come again
LONGEST_S = 1.5  # that a request may hold one
LOCK_PATIENCE_S = 1.0  # below LONGEST_S: a row that is taken is another answer than a database that is away
WORKERS_PATIENCE_S = 5.0
WORKERS_LOCK_PATIENCE_S = 3.0  # below the transaction's own bound, which would cut the connection


class Database:
    """One service's database, for its requests. Whatever happens to it, no request waits for it for long.

    A connection that a request has held for LONGEST_S is cut: the statement under way fails at once, which cancelling
    it would not do, since a server that is frozen does not answer that either.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        """Prepare a pool of as many connections as the settings say; none is opened yet."""
        self.engine = _pool(settings, settings.postgres_pool, WAIT_S, LOCK_PATIENCE_S)
        self._at_hand = AtHand(self.engine)
        self._turns = Turns(settings.postgres_pool)  # in the pool's own queue the last may overtake the first

    @property
    def is_busy(self) -> bool:
        """Tell whether another request would be refused: too many wait for a connection, or it would wait too long."""
        return self._turns.is_long

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; commit behind the block, roll back when it raises."""
        async with self._lent(self._from_the_pool, AsyncConnection.close) as connection, connection.begin():
            yield connection

    def statements(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield a connection on which each statement is a transaction: it sees, or commits, all of its own."""
        return self._lent(self._at_hand.connect, self._at_hand.take_back)

    def own_statements(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield such a connection for what the service asks for itself, however many requests wait for one."""
        return self._lent(self._at_hand.connect, self._at_hand.take_back, is_request=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._at_hand.close()
        await self.engine.dispose()

    @asynccontextmanager
    async def _lent(
        self, connect: Connect, take_back: TakeBack, *, is_request: bool = True
    ) -> AsyncIterator[AsyncConnection]:
        if is_request and self.is_busy:
            raise PoolTimeoutError(f"{self._turns.waiting} requests wait for a connection already")
        connection = await self._connected(connect)
        cut = asyncio.get_running_loop().call_later(LONGEST_S, driver_of(connection).terminate)
        try:
            yield connection
        except BaseException:
            await asyncio.shield(self._end_turn(connection.close(), cut))
            raise
        else:
            await self._end_turn(take_back(connection), cut)  # there is nothing to roll back, and so to wait for

    async def _end_turn(self, given_back: Awaitable[None], cut: asyncio.TimerHandle) -> None:
        try:
            await given_back
        finally:
            cut.cancel()
            self._turns.give_back()

    async def _connected(self, connect: Connect) -> AsyncConnection:
        async with asyncio.timeout(WAIT_S):
            await self._turns.take()
            try:
                return await connect()
            except BaseException:
                self._turns.give_back()
                raise

    async def _from_the_pool(self) -> AsyncConnection:
        await self._at_hand.make_room()
        return await self.engine.connect()


def workers_pool(settings: ServiceSettings, connections: int) -> AsyncEngine:
    """Return connections for the loop and the relay: their transactions are larger, and nobody waits for an answer."""
    return _pool(settings, connections, WORKERS_PATIENCE_S, WORKERS_LOCK_PATIENCE_S)


def _pool(settings: ServiceSettings, connections: int, wait_s: float, lock_patience_s: float) -> AsyncEngine:
    engine = create_async_engine(
        settings.postgres_url(),
        pool_size=connections,
        max_overflow=0,  # a queue that grows answers nobody in time
        pool_timeout=wait_s,
        pool_pre_ping=False,
        hide_parameters=True,  # an error's text ends in logs and dead letters, where nobody's data belongs
        connect_args={
            "timeout": WORKERS_PATIENCE_S,
            "command_timeout": WORKERS_PATIENCE_S,
            "server_settings": {
                "application_name": f"{settings.service}-{settings.instance}",
                "lock_timeout": f"{lock_patience_s * 1000:.0f}ms",
                "jit": "off",  # every statement here is short
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_a_closed_one)
    return engine


def _refuse_a_closed_one(adapted: Any, *_: object) -> None:
    """Have the pool open a new connection where the server closed this one as it lay idle: no request pays for it."""
    driver: asyncpg.Connection[Any] = adapted.driver_connection
    if driver.is_closed():
        raise DisconnectionError


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


TheDatabase = Annotated[Database, Depends(_database)]
