"""A statement that the driver runs by itself: for what every request does, SQLAlchemy would cost as much again."""

from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.at_hand import driver_of


class Statement:
    """A statement with places that are named as `:name`, as in SQLAlchemy's `text`."""

    def __init__(self, named: str) -> None:
        """Give the places numbers, by which PostgreSQL knows them."""
        self.named = named
        compiled = text(named).compile(dialect=dialect())  # type: ignore[no-untyped-call]
        self._numbered, self._names = str(compiled), list(compiled.positiontup or ())

    async def rows(self, connection: AsyncConnection, places: Mapping[str, Any]) -> list[asyncpg.Record]:
        """Run it in the connection's transaction, or as one of its own where there is none, and return its rows.

        PostgresError, InterfaceError or OSError: as the driver says it.
        """
        values = (places[name] for name in self._names)
        rows: list[asyncpg.Record] = await driver_of(connection).fetch(self._numbered, *values)
        return rows
