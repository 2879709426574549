"""Runs a service's migrations and then the library's, each service's in its own database, in one transaction."""

import asyncio

from alembic import context
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from exactly_once.tables import upgrade_tables

ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('chassis.migrate'))")  # processes that start side by side


def _migrate(connection: Connection) -> None:
    connection.execute(ONE_AT_A_TIME)
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    upgrade_tables(connection)


async def _run() -> None:
    engine = create_async_engine(context.config.attributes["url"])
    async with engine.begin() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


asyncio.run(_run())
