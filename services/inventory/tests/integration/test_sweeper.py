import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.sweeping import MOST, Sweep, Sweeper
from contracts import ExpireReservation
from exactly_once import Codec, KafkaSettings, Outbox, Registry, Relay
from exactly_once.envelope import ID, text_header, unpack_headers
from inventory.domain import expiry_id_of
from inventory.sweeps import expiry
from waybill.stack import Stack

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
HELD = """
INSERT INTO reservations (order_id, customer_id, state, reserved_at)
SELECT id, 'anna', 'held', now() - interval '1 hour' FROM unnest($1::uuid[]) AS id"""


@pytest.fixture
async def held(connection: asyncpg.Connection) -> AsyncIterator[Callable[[int], Awaitable[list[UUID]]]]:
    """Make reservations that are due."""

    async def make(number: int) -> list[UUID]:
        order_ids = [uuid4() for _ in range(number)]
        await connection.execute(HELD, order_ids)
        return order_ids

    yield make
    await connection.execute("DELETE FROM reservations WHERE state = 'held'")
    await connection.execute("DELETE FROM outbox")


@asynccontextmanager
async def sweeping(stack: Stack, engine: AsyncEngine, sweep: Sweep) -> AsyncIterator[Sweeper]:
    """Run a sweeper beside a relay that does not run: what it tells stays in the outbox."""
    nowhere = Path()
    kafka = KafkaSettings(bootstrap="", user="", credential=nowhere, ca_file=nowhere, prefix=stack.names.prefix)
    async with Registry(stack.registry_url) as registry:
        codec = await Codec.open(
            registry, "/waybill/inventory", emits=[ExpireReservation], handles=[], prefix=kafka.prefix
        )
        relay = Relay("inventory", engine=engine, kafka=kafka)
        sweeper = Sweeper([sweep], engine=engine, outbox=Outbox(codec), relay=relay)
        task = asyncio.create_task(sweeper.run())
        try:
            yield sweeper
        finally:
            await sweeper.stop()
            await task


async def until_equal(ask: Callable[[], Awaitable[Any]], expected: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (found := await ask()) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def told(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("SELECT headers FROM outbox")
    return sorted(text_header(unpack_headers(row["headers"]), ID) for row in rows)


async def test_each_due_reservation_is_told_once_however_many_sweep(
    migrated: Stack, engine: AsyncEngine, connection: asyncpg.Connection, held: Callable[[int], Awaitable[list[UUID]]]
) -> None:
    order_ids = await held(MOST + 20)  # more than one sweep takes
    async with sweeping(migrated, engine, expiry(60)) as one, sweeping(migrated, engine, expiry(60)) as other:
        await until_equal(lambda: told(connection), sorted(map(expiry_id_of, order_ids)))

        async def health() -> tuple[str | None, str | None]:
            return one.health(), other.health()

        await until_equal(health, (None, None))
    assert await connection.fetchval("SELECT count(*) FROM reservations WHERE expiry_told") == len(order_ids)
    assert {row["out_topic"] for row in await connection.fetch("SELECT out_topic FROM outbox")} == {
        "inventory.commands"
    }


async def test_a_sweep_that_fails_marks_and_tells_nothing_says_why_and_goes_on(
    migrated: Stack, engine: AsyncEngine, connection: asyncpg.Connection, held: Callable[[int], Awaitable[list[UUID]]]
) -> None:
    order_ids, failing = await held(2), asyncio.Event()
    failing.set()

    async def sweep(transaction: Any, most: int) -> Any:
        due = await expiry(60)(transaction, most)
        if failing.is_set():  # an error of the kind that passes: the database is shutting down
            await transaction.execute(text("DO $$ BEGIN RAISE EXCEPTION 'going down' USING ERRCODE = '57P01'; END $$"))
        return due

    async with sweeping(migrated, engine, sweep) as sweeper:

        async def why() -> bool:
            return "going down" in (sweeper.health() or "")

        await until_equal(why, expected=True)
        assert await told(connection) == []
        assert not await connection.fetchval("SELECT count(*) FROM reservations WHERE expiry_told")
        failing.clear()
        await until_equal(lambda: told(connection), sorted(map(expiry_id_of, order_ids)))


async def test_a_sweeper_that_rests_stops_at_once(migrated: Stack, engine: AsyncEngine) -> None:
    async with sweeping(migrated, engine, expiry(60)) as sweeper:

        async def why() -> str | None:
            return sweeper.health()

        await until_equal(why, None)
        began = time.monotonic()
    assert time.monotonic() - began < 2.0
