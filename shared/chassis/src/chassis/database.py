"""A service's database: the transactions of its requests end here, in bounded time, and nowhere in a service."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Request
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chassis.at_hand import AtHand
from chassis.loans import WAIT_S, Loan
from chassis.settings import ServiceSettings
from chassis.turns import Turns

LOCK_PATIENCE_S = 1.0  # below loans.LONGEST_S: a row that is taken is another answer than a database that is away
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
        self._from_pool = _FromPool(self.engine, self._at_hand)
        self._turns = Turns(settings.postgres_pool)  # in the pool's own queue the last may overtake the first

    @property
    def is_busy(self) -> bool:
        """Tell whether another request would be refused: too many wait for a connection, or it would wait too long."""
        return self._turns.is_long

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; commit behind the block, roll back when it raises."""
        async with Loan(self._from_pool, self._turns) as connection, connection.begin():
            yield connection

    def statements(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield a connection on which each statement is a transaction: it sees, or commits, all of its own."""
        return Loan(self._at_hand, self._turns)

    def own_statements(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield such a connection for what the service asks for itself, however many requests wait for one."""
        return Loan(self._at_hand, self._turns, is_request=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._at_hand.close()
        await self.engine.dispose()


class _FromPool:
    """Lends an engine's connections, each as new."""

    has_one = False  # there may be one, but its transaction begins with a wait for the server in any case

    def __init__(self, engine: AsyncEngine, at_hand: AtHand) -> None:
        self._engine, self._at_hand = engine, at_hand

    async def connect(self) -> AsyncConnection:
        await self._at_hand.make_room()
        return await self._engine.connect()

    async def take_back(self, connection: AsyncConnection) -> None:
        await connection.close()


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
