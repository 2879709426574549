"""The stand-in's way to its database: each of its statements is a transaction by itself, without BEGIN and COMMIT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg import InterfaceError, PostgresError
from fastapi import FastAPI, Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chassis import Problem
from payment_gateway.settings import Settings

PATIENCE_S = 1.5  # below the patience of the gateway's clients, so that they hear why
UNREACHABLE = (DBAPIError, PostgresError, InterfaceError, PoolTimeoutError, OSError)


@asynccontextmanager
async def opened(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """Keep a pool of connections in the app's state while the app runs."""
    engine = create_async_engine(
        settings.postgres_url(),
        isolation_level="AUTOCOMMIT",
        pool_size=settings.gateway_connections,
        max_overflow=0,
        pool_timeout=PATIENCE_S,
        hide_parameters=True,  # in errors, which go into logs: payment tokens are among them
        connect_args={"ssl": False, "timeout": PATIENCE_S, "command_timeout": PATIENCE_S},
    )
    app.state.ledger = engine
    try:
        yield
    finally:
        await engine.dispose()


@asynccontextmanager
async def connection(request: Request) -> AsyncIterator[AsyncConnection]:
    """Lend a connection. Problem 503: the database does not answer; a charge may have happened or not."""
    engine: AsyncEngine = request.app.state.ledger
    try:
        async with engine.connect() as lent:
            yield lent
    except UNREACHABLE as error:
        raise Problem(503, "unavailable", "The ledger does not answer; ask again under the same key.") from error
