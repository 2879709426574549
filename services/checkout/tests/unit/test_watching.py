"""What watchers of an order are told, with the database played by a dictionary."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from checkout import store, watching
from checkout.watching import Standing, Watch

PLACED, PAID, SHIPPED = Standing("placed", None), Standing("paid", None), Standing("shipped", None)
ASKED, REFUSED = Standing("placed", "asked"), Standing("placed", "refused")
ORDER = uuid4()


class Shelf:
    """Orders by id, and how often they were looked at; `gone` is a database that is away, one not `answering` slow."""

    def __init__(self) -> None:
        self.orders: dict[UUID, Standing] = {ORDER: PLACED}
        self.answering = asyncio.Event()
        self.answering.set()
        self.looks: list[set[UUID]] = []
        self.gone = False

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[None]:
        if self.gone:
            raise ConnectionRefusedError
        yield

    async def standings(self, _: Any, order_ids: Collection[UUID]) -> list[tuple[Any, ...]]:
        self.looks.append(set(order_ids))
        found = [(order_id, *self.orders[order_id]) for order_id in order_ids]
        await self.answering.wait()
        return found


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf()
    monkeypatch.setattr(store, "standings", shelf.standings)
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.01)
    return shelf


@pytest.fixture
async def stopping() -> AsyncIterator[asyncio.Event]:
    stopping = asyncio.Event()
    yield stopping
    stopping.set()


@pytest.fixture
def watch(shelf: Shelf, stopping: asyncio.Event) -> Watch:
    return Watch(shelf, stopping)  # type: ignore[arg-type]  # it reads, which is all that is asked of it


async def test_silence_is_told_too(watch: Watch, shelf: Shelf) -> None:
    told = []
    async for standing in watch.changes(ORDER, PLACED, 0.05):
        told.append(standing)
        if len(told) == 2:
            shelf.orders[ORDER] = SHIPPED
    assert told[:2] == [None, None]
    assert told[-1] == SHIPPED


async def test_a_stop_ends_every_stream_at_once(watch: Watch, stopping: asyncio.Event) -> None:
    async def all_of_it() -> list[Standing | None]:
        return [standing async for standing in watch.changes(ORDER, PLACED, 60)]

    streams = [asyncio.create_task(all_of_it()) for _ in range(3)]
    await asyncio.sleep(0.03)
    stopping.set()
    async with asyncio.timeout(0.5):
        assert await asyncio.gather(*streams) == [[], [], []]


async def test_one_statement_looks_at_all_orders_and_none_once_nobody_watches(watch: Watch, shelf: Shelf) -> None:
    orders = [uuid4() for _ in range(3)]
    shelf.orders |= dict.fromkeys(orders, PLACED)
    streams = [watch.changes(order, PLACED, 60) for order in orders]
    nexts = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.sleep(0.03)
    shelf.orders |= dict.fromkeys(orders, PAID)
    assert await asyncio.gather(*nexts) == [PAID] * 3
    assert set(orders) in shelf.looks
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]  # they are generators
    await asyncio.sleep(0.03)
    looks = len(shelf.looks)
    await asyncio.sleep(0.05)
    assert len(shelf.looks) == looks


async def test_a_database_that_goes_and_comes_back_ends_no_stream(watch: Watch, shelf: Shelf) -> None:
    shelf.gone = True
    stream = watch.changes(ORDER, PLACED, 0.05)
    assert await anext(stream) is None
    shelf.gone, shelf.orders[ORDER] = False, SHIPPED
    assert [standing async for standing in stream if standing] == [SHIPPED]


@pytest.mark.parametrize(("before", "now"), [(PLACED, PAID), (PLACED, ASKED), (ASKED, REFUSED), (REFUSED, SHIPPED)])
async def test_who_joins_with_news_is_told_nothing_older_and_tells_the_others(
    watch: Watch, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, before: Standing, now: Standing
) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 60)
    shelf.orders[ORDER] = before
    first, second = watch.changes(ORDER, before, 60), watch.changes(ORDER, now, 0.05)
    told_first = asyncio.ensure_future(anext(first))
    await asyncio.sleep(0.03)
    shelf.orders[ORDER] = now
    assert await anext(second, None) is None
    async with asyncio.timeout(0.5):
        assert await told_first == now


async def test_who_joins_with_what_is_old_already_is_told_at_once(
    watch: Watch, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 60)
    shelf.orders[ORDER] = PAID
    first, second = watch.changes(ORDER, PLACED, 60), watch.changes(ORDER, PLACED, 60)
    assert await anext(first) == PAID
    async with asyncio.timeout(0.5):
        assert await anext(second) == PAID


async def test_a_look_that_was_overtaken_takes_nothing_back(watch: Watch, shelf: Shelf) -> None:
    shelf.answering.clear()
    first, second = watch.changes(ORDER, PLACED, 60), watch.changes(ORDER, PAID, 60)
    told_first = asyncio.ensure_future(anext(first))
    await asyncio.sleep(0.03)  # the look has read that it is placed, and is slow to say so
    told_second = asyncio.ensure_future(anext(second))
    await asyncio.sleep(0)
    shelf.answering.set()
    await asyncio.sleep(0.005)
    shelf.orders[ORDER] = SHIPPED
    async with asyncio.timeout(0.5):
        assert await told_first == PAID
        assert await told_second == SHIPPED
