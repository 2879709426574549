"""Waits until a service's database is as new as this code: `python -m chassis.migrated SERVICE`, as the service.

For what starts services beside their migrations, as Kubernetes does.
"""

import asyncio
import signal
import sys

import structlog
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from asyncpg import PostgresError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis import logs
from chassis.migrate import MigrationSettings, migrations
from exactly_once.tables import missing

ASK_EVERY_S = 1.0
PATIENCE_S = 5.0
TERMINATED = 143  # as a shell says of SIGTERM

log = structlog.get_logger(__name__)


async def lacks(engine: AsyncEngine, service: str) -> str | None:
    """Return what the database lacks for this code, None if nothing. A database of newer code lacks nothing."""
    scripts = ScriptDirectory.from_config(migrations(service))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_lacks, scripts)
    except (DBAPIError, PostgresError, OSError) as error:  # it is not there yet, or not for us yet
        return f"it does not answer: {str(error).splitlines()[0]}"


def _lacks(connection: Connection, scripts: ScriptDirectory) -> str | None:
    found, newest = MigrationContext.configure(connection).get_current_revision(), scripts.get_current_head()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is None or (found in known and found != newest):
        return f"it is at migration {found or 'none'}, not yet at {newest}"
    columns = missing(connection)
    return f"it lacks {', '.join(columns)}" if columns else None


async def wait(engine: AsyncEngine, service: str) -> None:
    """Return when the database lacks nothing; each new reason to wait is logged once."""
    said = None
    while (why := await lacks(engine, service)) is not None:
        if why != said:
            log.warning("migrations.waiting", why=why)
            said = why
        await asyncio.sleep(ASK_EVERY_S)
    await engine.dispose()


def main(service: str) -> None:
    """Wait; a SIGTERM ends it at once, which the first process of a container would not heed by itself."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    logs.configure("warning", service, "migrated")  # Alembic tells each second what it looks at
    engine = create_async_engine(MigrationSettings().url(), connect_args={"timeout": PATIENCE_S})
    asyncio.run(wait(engine, service))


if __name__ == "__main__":
    main(sys.argv[1])
