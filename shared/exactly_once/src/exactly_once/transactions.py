"""Ends database transactions, and tells which of their failures may pass: the only module here that does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg import InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exactly_once.errors import Retryable, sentence_of

BUG_CLASSES = ("22", "23", "42", "54")  # data, integrity, syntax, a limit of PostgreSQL: it is wrong and stays wrong
PRIVILEGE = "42501"  # an operator can grant it
# No answer, beside DBAPIError's. The second: the server has said good-bye, but the connection is not closed yet.
AWAY = (InterfaceError, InternalClientError, PoolTimeoutError, OSError, asyncio.IncompleteReadError)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Run a block in one READ COMMITTED transaction: commit behind it, roll back when it raises.

    Retryable: the database refused, cut or never answered; whether a COMMIT under way took effect is then unknown.
    """
    try:
        async with engine.begin() as connection:
            yield connection
    except (DBAPIError, PostgresError) as error:
        if is_bug(error):
            raise
        raise Retryable(f"PostgreSQL: {sentence_of(error)}") from error
    except AWAY as error:
        raise Retryable(f"PostgreSQL: {sentence_of(error)}") from error


def is_bug(error: DBAPIError | PostgresError) -> bool:
    """Tell whether a repetition would fail in the same way."""
    state = str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")
    return state.startswith(BUG_CLASSES) and state != PRIVILEGE
