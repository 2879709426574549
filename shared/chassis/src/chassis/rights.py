"""Asks PostgreSQL, before anything depends on it, whether our role may do what a service does with its tables."""

import importlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import NotPermitted, Retryable
from exactly_once.transactions import transaction

NOT_LET_IN = {"28000", "28P01", "42501"}  # no such role, a wrong password, no CONNECT

_LACKING = text("""
SELECT 'table ' || w.name AS what, p.privilege, c.oid IS NULL AS absent
FROM unnest(CAST(:tables AS text[])) w(name)
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY p(privilege, place)
LEFT JOIN pg_class c ON c.relname = w.name AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
WHERE c.oid IS NULL OR NOT has_table_privilege(c.oid, p.privilege)
UNION ALL
SELECT 'sequence ' || c.relname, 'USAGE', false FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace
  AND CASE c.relkind WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE') ELSE false END
ORDER BY absent DESC, what""")


def own_tables(service: str) -> set[str]:
    """Return the tables that a service declares: those of `Tables` in its models.py."""
    models = importlib.import_module(f"{service}.models")
    return set(models.Tables.metadata.tables)


async def check_rights(engine: AsyncEngine, tables: Iterable[str]) -> None:
    """Return if our role may read and write these tables, and draw from every sequence.

    NotPermitted says in one sentence what it may not do, or that it is not let in. Retryable: no answer.
    """
    try:
        async with transaction(engine) as connection:
            lacking = (await connection.execute(_LACKING, {"tables": sorted(tables)})).all()
    except Retryable as error:
        if _state(error) in NOT_LET_IN:
            raise NotPermitted(f"{_as_whom(engine.url)} is not let in: {_said(error)}") from error
        raise
    if absent := sorted({row.what for row in lacking if row.absent}):
        raise NotPermitted(f"{_as_whom(engine.url)} finds no {', '.join(absent)}: is it ours, and migrated?")
    if lacking:
        raise NotPermitted(f"{_as_whom(engine.url)} may not {_told(lacking)}")


def _as_whom(url: URL) -> str:
    return f"PostgreSQL role {url.username} in database {url.database}"


def _told(lacking: Iterable[Row[Any]]) -> str:
    privileges: dict[str, list[str]] = defaultdict(list)
    for row in lacking:
        privileges[row.what].append(row.privilege)
    return "; ".join(f"{', '.join(each)} on {what}" for what, each in privileges.items())


def _state(error: Retryable) -> str:
    return str(getattr(getattr(error.__cause__, "orig", error.__cause__), "sqlstate", ""))


def _said(error: Retryable) -> str:
    return str(error).split(": ", 2)[-1]  # behind "PostgreSQL" and the error's type
