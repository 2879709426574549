"""Idempotency keys stand for their orders for a day; time is moved by dating them back."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import httpx
import pytest
from services.checkout.tests.integration.ready import Opened, until_ready
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis.pruning import Pruner
from checkout.keys import forget_keys
from waybill.stack import Stack

pytestmark = pytest.mark.integration

Ordered = Callable[..., Awaitable[httpx.Response]]
AN_HOUR = dt.timedelta(hours=1)
A_DAY = 24 * AN_HOUR
A_MINUTE = dt.timedelta(minutes=1)
AN_HOUR_OF_KEYS = """
INSERT INTO idempotency_keys SELECT 'crowd', gen_random_uuid(), '', gen_random_uuid() FROM generate_series(1, 300)"""


@pytest.fixture
async def engine(migrated: Stack) -> AsyncIterator[AsyncEngine]:
    dsn = migrated.postgres_dsn("checkout", "checkout")
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
    yield engine
    await engine.dispose()


@asynccontextmanager
async def pruning(engine: AsyncEngine) -> AsyncIterator[Pruner]:
    """Prune until the end of the block; the first round is through as it begins."""
    pruner = Pruner([forget_keys], engine=engine)
    running = asyncio.create_task(pruner.run())
    try:
        for _ in range(500):
            if pruner.health() is None:
                break
            await asyncio.sleep(0.02)
        yield pruner
    finally:
        await pruner.stop()
        await running


async def pass_by(connection: asyncpg.Connection, time: dt.timedelta) -> None:
    await connection.execute("UPDATE idempotency_keys SET created_at = created_at - $1::interval", time)


async def test_a_key_is_replayed_for_a_day_and_then_names_a_new_order(
    open_checkout: Opened, order: Ordered, connection: asyncpg.Connection, engine: AsyncEngine
) -> None:
    key = str(uuid4())
    async with open_checkout() as client:
        await until_ready(client)
        first = await order(client, key)
        await pass_by(connection, A_DAY - A_MINUTE)
        async with pruning(engine):
            again = await order(client, key)
        await pass_by(connection, 2 * A_MINUTE)
        async with pruning(engine):
            new = await order(client, key)
            repeated = await order(client, key)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (202, first.json(), "true")
    assert new.status_code == 202
    assert "idempotency-replayed" not in new.headers
    assert repeated.json() == new.json() != first.json()


async def test_the_table_of_keys_levels_off(connection: asyncpg.Connection, engine: AsyncEngine) -> None:
    sizes = []
    await connection.execute("DELETE FROM idempotency_keys")
    for _ in range(40):
        await connection.execute(AN_HOUR_OF_KEYS)
        await pass_by(connection, AN_HOUR)
        async with engine.begin() as transaction:
            while await forget_keys(transaction, 100) == 100:
                continue
        sizes.append(await connection.fetchval("SELECT count(*) FROM idempotency_keys"))
    assert sizes[:23] == [300 * hours for hours in range(1, 24)]
    assert max(sizes) <= 300 * 24


async def test_what_is_due_is_found_by_its_index(connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        due = "SELECT ctid FROM idempotency_keys WHERE created_at < now() ORDER BY created_at LIMIT 10"
        plan = [row[0] for row in await connection.fetch(f"EXPLAIN {due}")]
    assert any("Index Scan using idempotency_keys_by_age" in line for line in plan), plan
