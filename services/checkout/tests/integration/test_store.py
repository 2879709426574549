from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from checkout.domain import Cancellation
from checkout.statuses import Statuses
from checkout.store import PriceList
from contracts import Money, OrderStatus, ProductListed, StockReserved
from waybill.stack import Stack

pytestmark = pytest.mark.integration


@pytest.fixture
async def engine(migrated: Stack) -> AsyncIterator[AsyncEngine]:
    dsn = migrated.postgres_dsn("checkout", "checkout")
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
    yield engine
    await engine.dispose()


async def placed(connection: asyncpg.Connection) -> UUID:
    order_id = uuid4()
    await connection.execute(
        "INSERT INTO orders (order_id, customer_id, status, total_minor, currency, placed_at) "
        "VALUES ($1, 'anna', 'placed', 1, 'EUR', now())",
        order_id,
    )
    return order_id


async def loaded(connection: AsyncConnection, *order_ids: UUID) -> Statuses:
    return await Statuses.load(connection, [StockReserved(order_id=i, customer_id="anna", lines=[]) for i in order_ids])


async def test_only_statuses_that_moved_are_written(engine: AsyncEngine, connection: asyncpg.Connection) -> None:
    moved, untouched = await placed(connection), await placed(connection)
    async with engine.begin() as transaction:
        statuses = await loaded(transaction, moved, untouched, moved)
        statuses.advance(moved, "anna", OrderStatus.RESERVED)
        statuses.advance(moved, "anna", OrderStatus.PAID)
        await statuses.save(transaction)
    rows = await connection.fetch("SELECT status FROM orders WHERE order_id = ANY($1)", [moved, untouched])
    assert sorted(row["status"] for row in rows) == ["paid", "placed"]


async def test_the_last_listing_of_a_batch_is_the_price(engine: AsyncEngine, connection: asyncpg.Connection) -> None:
    sku = f"sku-{uuid4()}"
    for prices in ((1, 2), (3,)):
        async with engine.begin() as transaction:
            prices_known = await PriceList.load(transaction, [])
            for minor in prices:
                price = Money(amount_minor=minor, currency="EUR")
                prices_known.take(ProductListed(sku=sku, name="A thing", unit_price=price))
            await prices_known.save(transaction)
        kept = await connection.fetchval("SELECT unit_price_minor FROM products WHERE sku = $1", sku)
        assert kept == prices[-1]


async def test_what_is_withheld_and_what_was_answered_come_back_as_they_were_saved(
    engine: AsyncEngine, connection: asyncpg.Connection
) -> None:
    order_id = await placed(connection)
    await connection.execute("UPDATE orders SET cancellation = 'asked' WHERE order_id = $1", order_id)
    async with engine.begin() as transaction:
        statuses = await loaded(transaction, order_id)
        assert statuses.advance(order_id, "anna", OrderStatus.SHIPPED) is None
        await statuses.save(transaction)
    query = "SELECT status, cancellation, withheld FROM orders WHERE order_id = $1"
    assert [tuple(row) for row in await connection.fetch(query, order_id)] == [("placed", "asked", "shipped")]
    async with engine.begin() as transaction:
        statuses = await loaded(transaction, order_id)
        told = statuses.answer(order_id, "anna", Cancellation.REFUSED)
        assert told is not None
        assert told.status is OrderStatus.SHIPPED
        await statuses.save(transaction)
    assert [tuple(row) for row in await connection.fetch(query, order_id)] == [("shipped", "refused", None)]
