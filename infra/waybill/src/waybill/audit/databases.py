"""Reads the services' databases as the auditor: one REPEATABLE READ snapshot each, nothing written."""

import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from contracts import AUDITOR
from waybill.audit.decoding import digest
from waybill.audit.evidence import Claim, Partition, Place, Position, Stored
from waybill.errors import UsageError
from waybill.stack import Stack

CONNECT_S = 10
ANSWER_S = 60.0  # the largest table of a run of millions takes some seconds; a stopped server never answers

UNANSWERED = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Library(NamedTuple):
    """The library's tables of one service."""

    claims: dict[str, Claim]
    positions: dict[Partition, Position]
    stored: list[Stored]
    outbox: int


@asynccontextmanager
async def snapshot(stack: Stack, database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Open a read-only snapshot of a service's database. UsageError: it can't be read."""
    try:
        connection = await asyncpg.connect(
            stack.postgres_dsn(database, AUDITOR), ssl=False, timeout=CONNECT_S, command_timeout=ANSWER_S
        )
    except UNANSWERED as error:
        raise UsageError(
            f"the database of {database} can't be read: {str(error) or 'no answer'}; see `waybill status`"
        ) from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InsufficientPrivilegeError) as error:
        raise UsageError(f"the database of {database} is not as the audit knows it: {error}") from error
    except UNANSWERED as error:
        what = f"the database of {database} stopped answering while it was read: {str(error) or 'no answer'}"
        raise UsageError(what) from error
    finally:
        await _close(connection)


async def _close(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    with contextlib.suppress(*UNANSWERED):
        await connection.close(timeout=CONNECT_S)  # when the time is up, it cuts the connection


async def read_library(connection: "asyncpg.Connection[asyncpg.Record]") -> Library:
    """Return claims, positions, stored outputs and the size of the outbox."""
    claims = await connection.fetch('SELECT event_id, topic, partition, "offset", digest, rejected FROM claims')
    owners = await connection.fetch("SELECT topic, partition, next_offset, pruned_to FROM owner")
    outputs = await connection.fetch(
        'SELECT topic, partition, "offset", out_topic, key, value, headers FROM outputs ORDER BY seq'
    )
    return Library(
        claims={
            event_id: Claim(event_id, Place(topic, partition, offset), claimed, rejected)
            for event_id, topic, partition, offset, claimed, rejected in claims
        },
        positions={(topic, partition): Position(*rest) for topic, partition, *rest in owners},
        stored=[
            Stored(Place(topic, partition, offset), out_topic, _event_id(headers), digest(key, value))
            for topic, partition, offset, out_topic, key, value, headers in outputs
        ],
        outbox=await connection.fetchval("SELECT count(*) FROM outbox"),
    )


async def shares_the_gateway(stack: Stack) -> bool:
    """Tell whether another namespace's accounting charges at the same gateway."""
    async with snapshot(stack, "accounting") as connection:
        count = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname ~ '(^|_)accounting$'")
        return bool(count > 1)


def _event_id(packed: bytes) -> str:
    """Return the event id in an output's packed headers: JSON pairs of names and Latin-1 values."""
    headers: dict[str, str] = dict(json.loads(packed))
    return headers.get("ce_id", "")
