"""A database for a test: made in a running PostgreSQL with the library's tables, dropped behind it."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import URL, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from exactly_once.tables import create_tables
from exactly_once.transactions import transaction


@asynccontextmanager
async def temporary_database(
    server: str | URL, tables: Callable[[Connection], None] | None = None
) -> AsyncIterator[AsyncEngine]:
    """Yield an engine on a fresh database with the library's tables, and those that `tables` creates.

    `server` names any database of a running server (postgresql+asyncpg://…) and a user who may create others.
    """
    name = f"exactly_once_test_{uuid.uuid4().hex}"
    async with empty_database(make_url(server), name) as url:
        engine = create_async_engine(url)
        try:
            async with transaction(engine) as connection:
                await connection.run_sync(create_tables)
                if tables is not None:
                    await connection.run_sync(tables)
            yield engine
        finally:
            await engine.dispose()


@asynccontextmanager
async def empty_database(server: URL, name: str) -> AsyncIterator[URL]:
    """Yield the URL of an empty database of this name; drop it at the end, whoever is still connected."""
    keeper = create_async_engine(server, isolation_level="AUTOCOMMIT")
    try:
        async with keeper.connect() as connection:
            await connection.execute(text(f'CREATE DATABASE "{name}"'))
        try:
            yield server.set(database=name)
        finally:
            async with keeper.connect() as connection:
                await connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    finally:
        await keeper.dispose()
