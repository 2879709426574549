"""A service's database: the transactions of its requests end here, and nowhere in a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chassis.settings import ServiceSettings

POOL_PATIENCE_S = 2.0
STATEMENT_PATIENCE_S = 5.0
LOCK_PATIENCE = "3s"  # below the transaction's own bound, which would cut the connection


class Database:
    """One service's database."""

    def __init__(self, settings: ServiceSettings, connections: int | None = None) -> None:
        """Prepare a pool of so many connections, as the settings say where nothing is said; none is opened yet."""
        self.engine: AsyncEngine = create_async_engine(
            settings.postgres_url(),
            pool_size=connections or settings.postgres_pool,
            max_overflow=0,  # a queue that grows answers nobody in time: the pool's patience ends in a 503
            pool_timeout=POOL_PATIENCE_S,
            pool_pre_ping=False,
            hide_parameters=True,  # in errors, which go into logs: payment tokens are among them
            connect_args={
                "timeout": STATEMENT_PATIENCE_S,
                "command_timeout": STATEMENT_PATIENCE_S,
                "server_settings": {
                    "application_name": f"{settings.service}-{settings.instance}",
                    "lock_timeout": LOCK_PATIENCE,
                    "jit": "off",  # every statement here is short
                },
            },
        )
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")  # no BEGIN, no ROLLBACK to wait for

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; commit behind the block, roll back when it raises."""
        async with self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection for reading: each statement sees what was committed as it began."""
        async with self._reading.connect() as connection:
            yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


TheDatabase = Annotated[Database, Depends(_database)]
