"""A service's database: sessions whose transactions end here, and nowhere in a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis.settings import ServiceSettings

POOL_PATIENCE_S = 2.0
STATEMENT_PATIENCE_S = 5.0


class Database:
    """One service's database."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.engine: AsyncEngine = create_async_engine(
            settings.postgres_url(),
            pool_size=settings.postgres_pool,
            max_overflow=0,  # a queue that grows answers nobody in time: the pool's patience ends in a 503
            pool_timeout=POOL_PATIENCE_S,
            pool_pre_ping=False,
            connect_args={
                "timeout": STATEMENT_PATIENCE_S,
                "command_timeout": STATEMENT_PATIENCE_S,
                "server_settings": {"application_name": f"{settings.service}-{settings.instance}"},
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Yield a session; commit behind the block, roll back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reading; what it changed is rolled back."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


TheDatabase = Annotated[Database, Depends(_database)]
