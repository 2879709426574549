import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from contracts import OrderCancelled
from fulfillment.domain import Answer
from fulfillment.store import Shipments
from waybill.local.shop import migration_environment
from waybill.stack import Stack

pytestmark = pytest.mark.integration

LINES = {"cup": 2, "pot": 1}


@pytest.fixture(scope="module")
def migrated(namespaced_stack: Stack) -> Stack:
    environment = migration_environment(namespaced_stack, "fulfillment")
    subprocess.run([sys.executable, "-m", "chassis.migrate", "fulfillment"], env=environment, check=True)
    return namespaced_stack


@pytest.fixture
async def engine(migrated: Stack) -> AsyncIterator[AsyncEngine]:
    dsn = migrated.postgres_dsn("fulfillment", "fulfillment")
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
    yield engine
    await engine.dispose()


async def loaded(connection: AsyncConnection, *order_ids: UUID) -> Shipments:
    now = datetime.now(UTC)
    return await Shipments.load(
        connection, [OrderCancelled(order_id=each, customer_id="anna", asked_at=now) for each in order_ids]
    )


async def test_a_shipment_is_remembered_with_its_lines(engine: AsyncEngine) -> None:
    order_id = uuid4()
    async with engine.begin() as connection:
        known = await loaded(connection, order_id, order_id)
        assert known.dispatch(order_id, "anna", LINES) is not None
        await known.save(connection)
    async with engine.begin() as connection:
        assert (await loaded(connection, order_id)).dispatch(order_id, "anna", LINES) is None
        lines = text("SELECT sku, quantity FROM shipment_lines WHERE order_id = :order_id")
        assert {(sku, units) for sku, units in await connection.execute(lines, {"order_id": order_id})} == set(
            LINES.items()
        )


async def test_a_granted_cancellation_outlives_the_batch_and_keeps_the_parcel(engine: AsyncEngine) -> None:
    order_id = uuid4()
    async with engine.begin() as connection:
        known = await loaded(connection, order_id)
        assert known.cancel(order_id, "anna") is Answer.GRANTED
        await known.save(connection)
    async with engine.begin() as connection:
        again = await loaded(connection, order_id)
        assert again.dispatch(order_id, "anna", LINES) is None
        assert again.cancel(order_id, "anna") is None
        await again.save(connection)


async def test_a_cancellation_after_the_parcel_is_refused_and_that_is_remembered(engine: AsyncEngine) -> None:
    order_id = uuid4()
    async with engine.begin() as connection:
        known = await loaded(connection, order_id)
        known.dispatch(order_id, "anna", LINES)
        await known.save(connection)
    for expected in (Answer.REFUSED, None):
        async with engine.begin() as connection:
            known = await loaded(connection, order_id)
            assert known.cancel(order_id, "anna") is expected
            await known.save(connection)


async def test_a_batch_of_many_orders_is_written_as_one(engine: AsyncEngine) -> None:
    shipped, cancelled, untouched = uuid4(), uuid4(), uuid4()
    async with engine.begin() as connection:
        known = await loaded(connection, shipped, cancelled, untouched)
        known.dispatch(shipped, "anna", LINES)
        known.cancel(cancelled, "anna")
        await known.save(connection)
    async with engine.begin() as connection:
        found = await loaded(connection, shipped, cancelled, untouched)
        answers = [found.cancel(each, "anna") for each in (shipped, cancelled, untouched)]
        assert answers == [Answer.REFUSED, None, Answer.GRANTED]
