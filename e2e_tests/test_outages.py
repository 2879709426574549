"""PostgreSQL and Kafka are taken away from under customers who go on ordering, and given back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import psutil
import pytest
from e2e_tests.conftest import ORDERS_MOST_AHEAD, OUTBOX_MOST_ROWS
from e2e_tests.crowd import Crowd, Order, told

from waybill.audit import audit
from waybill.customers import Shop
from waybill.driver import Waybill
from waybill.stack import Stack

pytestmark = pytest.mark.e2e

RATE = 25.0
RATE_TO_FILL = 80.0  # what this run's stack bounds: its outbox, the orders on their way
OUTAGE_S = 3.0
RATE_TO_QUEUE = 50.0  # more wait in a moment than a few
MOMENT_S = 0.5  # a disk that others write to may take it for a flush
PATIENCE_S = 60.0
LONGEST_S = 2.5  # a request holds a connection for 1.5 s at most; the rest is a busy machine's
ACCEPTED = (202, "application/json ", None)
REFUSED = (503, "application/problem+json /problems/unavailable", "1")


@pytest.fixture(scope="module")
async def stack(running: Waybill) -> Stack:
    return Stack.load(running.home)


@pytest.fixture(scope="module")
async def crowd(stack: Stack) -> AsyncIterator[Crowd]:
    async with Shop(stack) as shop:
        await shop.stock({"candle": (500, 100_000)})
    async with Crowd(stack, "candle") as crowd:
        yield crowd


async def done(waybill: Waybill, *words: str) -> None:
    ended = await asyncio.to_thread(waybill, *words)
    assert ended.code == 0, ended.err


async def until_refused(orders: list[Order]) -> None:
    """Wait until an order was answered with 503."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(order.told and order.told[0].status == REFUSED[0] for order in orders):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def until_accepted(orders: list[Order]) -> None:
    """Wait until an order that is placed from now on is accepted."""
    deadline, known = time.monotonic() + PATIENCE_S, len(orders)
    while not any(order.order_id for order in orders[known:]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def until_unready_for(crowd: Crowd, reason: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while reason not in (await crowd.ready())[1]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def until_ready(crowd: Crowd) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (said := await crowd.ready())[0] != 200:
        assert time.monotonic() < deadline, said
        await asyncio.sleep(0.1)


async def assert_soon_and_in_plain_words(crowd: Crowd, orders: list[Order]) -> None:
    """Each order was accepted or refused as it ought to be, in time; those refused are taken when they come again."""
    assert told(orders).keys() == {ACCEPTED, REFUSED}
    assert max(order.told[0].took_s for order in orders) < LONGEST_S
    await crowd.insist(orders)


@contextmanager
def frozen(root: psutil.Process) -> Iterator[None]:
    """Stop a process where it is, and then its children, of which there will be no more."""
    root.suspend()
    children = root.children(recursive=True)
    for child in children:
        child.suspend()
    try:
        yield
    finally:
        for process in (*children, root):
            process.resume()


@asynccontextmanager
async def held_still(stack: Stack) -> AsyncIterator[None]:
    """Keep checkout's database from accepting orders."""
    database = await asyncpg.connect(stack.postgres_dsn("checkout", "operator"), ssl=False)
    try:
        async with database.transaction():
            await database.execute("LOCK TABLE orders")
            yield
    finally:
        await database.close()


async def process_of(waybill: Waybill, name: str) -> psutil.Process:
    processes = (await asyncio.to_thread(waybill, "status", "--json")).data["processes"]
    return psutil.Process(next(each["pid"] for each in processes if each["name"] == name))


async def test_a_database_that_accepts_nothing_for_a_moment_has_nobody_refused(stack: Stack, crowd: Crowd) -> None:
    async with crowd.ordering(RATE_TO_QUEUE) as orders:
        await until_accepted(orders)
        async with held_still(stack):
            await asyncio.sleep(MOMENT_S)
        await until_accepted(orders)
    assert max(order.told[0].took_s for order in orders) > MOMENT_S / 2, "it went on accepting"
    assert told(orders).keys() == {ACCEPTED}


async def test_postgresql_that_is_stopped_is_told_soon_and_nothing_accepted_is_lost(
    running: Waybill, crowd: Crowd
) -> None:
    async with crowd.ordering(RATE) as orders:
        await until_accepted(orders)
        await done(running, "stop", "postgres")
        await until_refused(orders)
        await asyncio.sleep(OUTAGE_S)
        status, why = await crowd.ready()
        await done(running, "start", "postgres")
        await until_accepted(orders)
    assert (status, "database: " in why) == (503, True)
    await assert_soon_and_in_plain_words(crowd, orders)
    await until_ready(crowd)


async def test_postgresql_that_is_killed_comes_back_by_itself(running: Waybill, crowd: Crowd) -> None:
    postgres = await process_of(running, "postgres")
    async with crowd.ordering(RATE) as orders:
        await until_accepted(orders)
        postgres.kill()
        await until_refused(orders)
        await until_accepted(orders)
    await assert_soon_and_in_plain_words(crowd, orders)
    await until_ready(crowd)


async def test_postgresql_that_is_frozen_holds_no_request_for_long(running: Waybill, crowd: Crowd) -> None:
    postgres = await process_of(running, "postgres")
    async with crowd.ordering(RATE) as orders:
        await until_accepted(orders)
        with frozen(postgres):
            await until_refused(orders)
            status, why = await crowd.ready()
            await asyncio.sleep(OUTAGE_S)
        await until_accepted(orders)
    assert (status, "database: " in why) == (503, True)
    await assert_soon_and_in_plain_words(crowd, orders)
    await until_ready(crowd)


async def test_without_kafka_orders_are_taken_until_the_outbox_is_full(running: Waybill, crowd: Crowd) -> None:
    await done(running, "stop", "kafka")
    async with crowd.ordering(RATE_TO_FILL) as orders:
        await until_refused(orders)
        status, why = await crowd.ready()
    accepted = [order for order in orders if order.order_id]
    assert len(accepted) >= int(OUTBOX_MOST_ROWS)
    assert (status, "outbox: " in why) == (503, True)
    await until_unready_for(crowd, "relay: ")
    await done(running, "start", "kafka")
    async with crowd.ordering(RATE) as later:
        await until_accepted(later)
    await assert_soon_and_in_plain_words(crowd, [*orders, *later])
    await until_ready(crowd)


async def test_without_inventory_orders_are_taken_until_too_many_are_on_their_way(
    running: Waybill, stack: Stack, crowd: Crowd
) -> None:
    assert (await audit(stack, wait_s=PATIENCE_S)).settled, "orders of before are on their way"
    await done(running, "stop", "inventory")
    async with crowd.ordering(RATE_TO_FILL) as orders:
        await until_refused(orders)
        status, _ = await crowd.ready()
    accepted = [order for order in orders if order.order_id]
    assert len(accepted) >= int(ORDERS_MOST_AHEAD)
    assert status == 200
    await done(running, "start", "inventory")
    async with crowd.ordering(RATE) as later:
        await until_accepted(later)
    await assert_soon_and_in_plain_words(crowd, [*orders, *later])


async def test_in_the_end_every_order_that_was_accepted_has_been_shipped(stack: Stack, crowd: Crowd) -> None:
    assert len(crowd.answers) == len(crowd.orders) == len({answer.order_id for answer in crowd.answers})
    report = await audit(stack, wait_s=PATIENCE_S, answers=crowd.answers)
    assert report.failed == [], report
    assert report.settled
