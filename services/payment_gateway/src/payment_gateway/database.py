"""The stand-in's way to its database: each of its statements is a transaction by itself, without BEGIN and COMMIT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg import InterfaceError, PostgresError
from fastapi import FastAPI, Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import Problem
from chassis.database import Database
from payment_gateway.settings import Settings

UNREACHABLE = (DBAPIError, PostgresError, InterfaceError, PoolTimeoutError, OSError)


@asynccontextmanager
async def opened(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """Keep a pool of connections in the app's state while the app runs."""
    app.state.ledger = ledger = Database(settings)
    try:
        yield
    finally:
        await ledger.close()


@asynccontextmanager
async def connection(request: Request) -> AsyncIterator[AsyncConnection]:
    """Lend a connection. Problem 503: the database does not answer; a charge may have happened or not.

    Nobody is turned away for the queue's length: its clients have their own bound of how many ask at once.
    """
    ledger: Database = request.app.state.ledger
    try:
        async with ledger.own_statements() as lent:
            yield lent
    except UNREACHABLE as error:
        raise Problem(503, "unavailable", "The ledger does not answer; ask again under the same key.") from error
