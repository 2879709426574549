"""A database that is full, frozen, or was started again, as the requests of a service meet it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import asyncpg
import psutil
import pytest
from asyncpg import PostgresError
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import ServiceSettings, health, turns
from chassis.at_hand import AtHand, driver_of
from chassis.database import Database
from chassis.limiting import Backlog
from chassis.loans import LONGEST_S, WAIT_S
from chassis.statement import Statement
from chassis.turns import Turns
from exactly_once.transactions import AWAY, is_bug

POOL = 3
LINE, ROUNDS = 12, 10  # so many at once, so often
SLACK_S = 1.0  # of a machine that has much to do
ENDS_IN_503 = (*AWAY, DBAPIError, PostgresError)


class CountedTurns(Turns):
    taken = 0

    async def take(self) -> None:
        await super().take()
        self.taken += 1

    def give_back(self) -> None:
        self.taken -= 1
        super().give_back()


class Shop(Database):
    """A database, and how it is asked: by the driver alone, or through SQLAlchemy."""

    by_driver: bool

    def __init__(self, settings: ServiceSettings) -> None:
        super().__init__(settings)
        self._turns = self.turns = CountedTurns(POOL)


@pytest.fixture(params=[False, True], ids=["SQLAlchemy", "the driver"])
async def shop(postgres: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    url = make_url(postgres)
    password = tmp_path / "password"
    password.write_text(url.password or "")
    settings = ServiceSettings(
        service="shop",
        http_port=1,
        postgres_host=url.host or "",
        postgres_port=url.port or 0,
        postgres_database=url.database or "",
        postgres_user=url.username or "",
        postgres_password_file=password,
        postgres_pool=POOL,
    )
    opened = Shop(settings)
    opened.by_driver = request.param
    yield opened
    await opened.close()


async def ask(shop: Shop, statement: str = "SELECT pg_backend_pid()") -> int:
    if shop.by_driver:
        async with shop.statements() as connection:
            ((answer,),) = await Statement(statement).rows(connection, {})
            return int(answer)
    async with shop.transaction() as connection:
        return int((await connection.execute(text(statement))).scalar_one())


async def all_lent(shop: Shop, statement: str) -> list[asyncio.Task[int]]:
    """Open every connection, and return the tasks in which each is busy with a statement."""
    await asyncio.gather(*(ask(shop, "SELECT 1 FROM pg_sleep(0.05)") for _ in range(POOL)))
    holding = [asyncio.create_task(ask(shop, statement)) for _ in range(POOL)]
    while shop.turns.taken < POOL:  # noqa: ASYNC110  # it sets no event
        await asyncio.sleep(0.001)
    return holding


async def every_connection_is_there(shop: Shop) -> bool:
    """Lend as many as there are, at once, to whom only the pool gives them; tell whether all came back to it."""

    async def hold() -> None:
        async with shop.transaction() as connection:
            await connection.execute(text("SELECT 1 FROM pg_sleep(0.05)"))

    await asyncio.gather(*(hold() for _ in range(POOL)))
    return bool(shop.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]  # a queue pool's


async def refused_after(shop: Shop, statement: str = "SELECT 1") -> float:
    """Return after how many seconds a request was refused, in a way that is answered with 503."""
    began = time.monotonic()
    with pytest.raises(ENDS_IN_503) as refused:
        await ask(shop, statement)
    assert not (isinstance(refused.value, DBAPIError | PostgresError) and is_bug(refused.value))
    return time.monotonic() - began


@contextmanager
def frozen(backend: int) -> Iterator[None]:
    """Stop a server where it is, all of its processes: it answers nobody, and refuses nobody either."""
    server = psutil.Process(backend).parent()
    assert server is not None
    pids = [server.pid, *(each.pid for each in server.children())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_frozen_database_holds_no_request_for_long_and_serves_again_once_it_wakes(shop: Shop) -> None:
    backend = await ask(shop)
    under_way = [asyncio.create_task(refused_after(shop, "SELECT 1 FROM pg_sleep(0.3)")) for _ in range(POOL)]
    await asyncio.sleep(0.2)
    with frozen(backend):
        waited = await asyncio.gather(*under_way, *(refused_after(shop) for _ in range(3 * POOL)))
        later = await asyncio.gather(*(refused_after(shop) for _ in range(3 * POOL)))
    assert max(waited) < LONGEST_S + SLACK_S
    assert max(later) < WAIT_S + SLACK_S
    assert await asyncio.gather(*(ask(shop, "SELECT 7") for _ in range(3 * POOL))) == [7] * 3 * POOL
    assert await every_connection_is_there(shop)


@pytest.mark.parametrize("fenced", [True, False])
async def test_connections_at_hand_make_room_for_transactions(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, fenced: bool
) -> None:
    async def no_room(_: AtHand) -> None:
        return

    shop.by_driver = True
    await asyncio.gather(*(ask(shop, "SELECT 1 FROM pg_sleep(0.05)") for _ in range(POOL)))
    if not fenced:
        monkeypatch.setattr(AtHand, "make_room", no_room)
        with pytest.raises(TimeoutError):
            await every_connection_is_there(shop)
    else:
        assert await every_connection_is_there(shop)


async def test_what_sqlalchemy_has_run_statements_on_is_not_kept_at_hand(shop: Shop) -> None:
    async with shop.statements() as connection:
        await connection.execute(text("SELECT 1"))
    assert shop.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool's
    async with shop.statements() as connection:
        await Statement("SELECT 1").rows(connection, {})
    assert shop.engine.pool.checkedout() == 1  # type: ignore[attr-defined]  # likewise
    async with shop.statements() as again:
        assert again is connection


async def test_what_is_closed_or_in_a_transaction_as_it_comes_back_is_not_lent_again(shop: Shop) -> None:
    async with shop.statements() as closed:
        driver_of(closed).terminate()
    async with shop.statements() as open_ended:
        await Statement("BEGIN").rows(open_ended, {})
    async with shop.statements() as connection:
        assert connection not in {closed, open_ended}
        assert not driver_of(connection).is_in_transaction()
        assert await Statement("SELECT 7").rows(connection, {})
    assert await every_connection_is_there(shop)


async def test_who_finds_a_closed_connection_at_hand_waits_no_longer_for_a_new_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(WAIT_S + 2 * SLACK_S)

    async with shop.statements() as connection:
        driver = driver_of(connection)
    driver.terminate()
    monkeypatch.setattr(asyncpg, "connect", hang)
    assert await refused_after(shop) < WAIT_S + SLACK_S


async def test_a_statement_that_takes_too_long_is_cut_and_its_neighbours_are_not(shop: Shop) -> None:
    slow, _ = await asyncio.gather(refused_after(shop, "SELECT 1 FROM pg_sleep(30)"), ask(shop))
    assert slow < LONGEST_S + SLACK_S
    assert await ask(shop, "SELECT 7") == 7


async def test_who_finds_no_connection_in_time_is_refused_and_where_many_wait_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = await all_lent(shop, "SELECT 1 FROM pg_sleep(1.3)")
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    waiting = [asyncio.create_task(refused_after(shop)) for _ in range(2)]
    await asyncio.sleep(0)
    began = time.monotonic()
    with pytest.raises(PoolTimeoutError, match="2 requests wait"):
        await ask(shop)
    assert time.monotonic() - began < 0.1
    assert max(await asyncio.gather(*waiting)) < WAIT_S + SLACK_S
    assert await asyncio.gather(*holding) == [1] * POOL
    assert await ask(shop, "SELECT 7") == 7


async def test_a_burst_may_queue_and_a_queue_that_stands_is_not_joined(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await all_lent(shop, "SELECT 1 FROM pg_sleep(0.6)")
    monkeypatch.setattr(turns, "A_FEW", 2)
    monkeypatch.setattr(turns, "STALL_S", 0.25)  # below the statement's 0.6 s
    asked += [asyncio.create_task(ask(shop, "SELECT 1")) for _ in range(POOL)]
    await asyncio.sleep(0)
    assert not shop.is_busy
    await asyncio.sleep(0.35)
    assert shop.is_busy
    with pytest.raises(PoolTimeoutError, match=f"{POOL} requests wait"):
        await ask(shop)
    assert await asyncio.gather(*asked) == [1] * (2 * POOL)
    assert not shop.is_busy
    assert await ask(shop, "SELECT 7") == 7


async def test_whoever_goes_away_leaves_connection_and_turn_to_the_others(shop: Shop) -> None:
    asked = await all_lent(shop, "SELECT 1 FROM pg_sleep(5)")
    asked += [asyncio.create_task(ask(shop)) for _ in range(POOL)]
    await asyncio.sleep(0.05)
    for each in asked:
        each.cancel()
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    assert await asyncio.gather(*(ask(shop, "SELECT 7") for _ in range(2 * POOL))) == [7] * 2 * POOL
    assert await every_connection_is_there(shop)


@pytest.mark.parametrize("fenced", [True, False])
async def test_unless_requests_take_turns_the_last_overtake_the_first(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, fenced: bool
) -> None:
    if not fenced:
        monkeypatch.setattr(shop, "_turns", Turns(1_000))
    monkeypatch.setattr(turns, "A_FEW", 1_000)
    assert await every_connection_is_there(shop)  # who waits for a new one is overtaken by those who find one
    arrivals, served = count(), list[int]()

    async def ask_again_and_again() -> None:
        for _ in range(ROUNDS):  # the next time at once, as those who were told of the free connection wake up
            number = next(arrivals)
            async with shop.statements() as connection:
                served.append(number)
                await connection.execute(text("SELECT 1 FROM pg_sleep(0.002)"))

    await asyncio.gather(*(ask_again_and_again() for _ in range(LINE)))
    late = max(place - number for place, number in enumerate(served))
    assert (late <= POOL) == fenced, served


async def is_too_long(connection: AsyncConnection) -> bool:
    return bool((await connection.execute(text("SELECT false"))).scalar_one())


async def test_a_service_of_which_too_many_want_something_is_ready_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes it for dead sends its load to the next one, which is then as busy."""
    app = FastAPI()
    app.include_router(health.router)
    app.state.database, app.state.workers = shop, {}
    app.state.backlog = Backlog(is_too_long, "it is asked for")
    asked = await all_lent(shop, "SELECT 1 FROM pg_sleep(0.3)")
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    asked += [asyncio.create_task(ask(shop, "SELECT 1")) for _ in range(2)]
    await asyncio.sleep(0)
    assert shop.is_busy
    async with AsyncClient(transport=ASGITransport(app), base_url="http://shop") as client:
        answer = await client.get("/health/ready")
    assert answer.json() == {"ready": True, "why": None}
    assert await asyncio.gather(*asked) == [1] * (POOL + 2)


async def test_a_connection_that_the_server_closed_as_it_lay_idle_costs_no_request(shop: Shop) -> None:
    backend = await ask(shop)
    process = psutil.Process(backend)
    process.terminate()
    await asyncio.to_thread(process.wait, 10)
    await asyncio.sleep(0.1)
    assert await ask(shop) != backend


async def test_a_connection_that_the_server_is_about_to_close_costs_its_request_a_503(shop: Shop) -> None:
    """Its good-bye may be read, and its end not yet, as the connection is lent: what the driver says then is no bug."""
    for pause_s in (0, 0.0005, 0.001, 0.002) * 40:
        psutil.Process(await ask(shop)).terminate()
        time.sleep(0.003)  # noqa: ASYNC251  # while nothing is read here
        await asyncio.sleep(pause_s)
        with suppress(*ENDS_IN_503):
            await ask(shop)
            continue
        assert await ask(shop) > 0


async def test_a_row_that_is_taken_is_told_from_a_database_that_is_away(shop: Shop) -> None:
    async with shop.transaction() as holder:
        await holder.execute(text("SELECT pg_advisory_xact_lock(1)"))
        with pytest.raises((DBAPIError, PostgresError)) as refused:
            await ask(shop, "SELECT 1 FROM pg_advisory_xact_lock(1)")
        assert getattr(getattr(refused.value, "orig", refused.value), "sqlstate", "") == "55P03"


async def test_a_statement_knows_its_places_by_name_and_belongs_to_the_transaction_around_it(shop: Shop) -> None:
    async with shop.transaction() as connection:
        await connection.execute(text("CREATE TEMPORARY TABLE cups (name text) ON COMMIT DROP"))
        adding = Statement("INSERT INTO cups VALUES (:name), (upper(:name)), (:other) RETURNING name")
        rows = await adding.rows(connection, {"other": "b", "name": "a", "unused": 1})
        assert [row["name"] for row in rows] == ["a", "A", "b"]
        await connection.rollback()
    assert await ask(shop, "SELECT count(*) FROM pg_class WHERE relname = 'cups'") == 0
