"""Claims on real PostgreSQL: an id is processed once, and re-opened once by a redrive that is not stale."""

import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from exactly_once.batch import Entry, Partition, Record, Redrive, Rejection
from exactly_once.claims import Claims
from exactly_once.tables import upgrade_tables
from exactly_once.transactions import transaction
from waybill.stack import Stack

pytestmark = pytest.mark.integration

CLAIMS = Claims("inventory")
BAD = Rejection("rejected", "unwanted")
UNREADABLE = Rejection("undecodable", "garbage")


def entry(event_id: str, offset: int, value: bytes = b"v", **more: Any) -> Entry:
    return Entry(Record(Partition("orders", 0), offset, 0, b"anna", value, ()), event_id, None, **more)


def redrive(event_id: str, attempt: int = 0, group: str = "inventory") -> Redrive:
    return Redrive(group, event_id, attempt)


@pytest.fixture
async def connection(engine_of: Callable[[str], AsyncEngine]) -> AsyncIterator[AsyncConnection]:
    async with transaction(engine_of("inventory")) as connection:
        await connection.execute(text("DELETE FROM claims"))
        yield connection


@pytest.fixture
async def migrating(namespaced_stack: Stack, engine_of: Callable[[str], AsyncEngine]) -> AsyncIterator[AsyncConnection]:
    """A connection as the operator, who owns the tables; what is done with it is rolled back."""
    url = engine_of("inventory").url.set(
        username=namespaced_stack.names.role("operator"),
        password=namespaced_stack.secret(f"postgres-{namespaced_stack.names.role('operator')}"),
    )
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def claimed(connection: AsyncConnection, *entries: Entry) -> list[tuple[int, str, int]]:
    """Claim a batch; return what is to be handled: offset, kind of rejection, attempt."""
    return [
        (each.record.offset, each.rejection.kind if each.rejection else "", each.attempt)
        for each in await CLAIMS.claim(connection, entries)
    ]


async def test_an_id_seen_again_is_dropped_and_one_with_other_bytes_is_a_conflict(connection: AsyncConnection) -> None:
    assert await claimed(connection, entry("a", 1), entry("a", 2), entry("b", 3)) == [(1, "", 0), (3, "", 0)]
    again = [entry("c", 4), entry("a", 5), entry("a", 6, b"other")]
    assert await claimed(connection, *again) == [(4, "", 0), (6, "conflict", 0)]


async def test_a_letter_is_redriven_once(connection: AsyncConnection) -> None:
    await claimed(connection, entry("a", 1, rejection=BAD))
    assert await claimed(connection, entry("a", 2, redrive=redrive("a"))) == [(2, "", 1)]
    assert await claimed(connection, entry("a", 3, redrive=redrive("a"))) == []
    assert await claimed(connection, entry("a", 4, redrive=redrive("a", 1))) == [], "it was processed all right"


async def test_of_two_redrives_in_one_batch_the_first_wins(connection: AsyncConnection) -> None:
    await claimed(connection, entry("a", 1, rejection=BAD))
    pair = [entry("a", offset, redrive=redrive("a")) for offset in (2, 3)]
    assert await claimed(connection, *pair) == [(2, "", 1)]


async def test_a_redrive_rejected_again_can_be_redriven_by_its_new_letter_only(connection: AsyncConnection) -> None:
    await claimed(connection, entry("a", 1, rejection=BAD))
    assert await claimed(connection, entry("a", 2, redrive=redrive("a"), rejection=BAD)) == [(2, "rejected", 1)]
    stale_and_new = [entry("a", 3, redrive=redrive("a", 0)), entry("a", 4, redrive=redrive("a", 1))]
    assert await claimed(connection, *stale_and_new) == [(4, "", 2)]


async def test_a_redrive_of_an_id_that_was_processed_does_nothing(connection: AsyncConnection) -> None:
    await claimed(connection, entry("a", 1))
    assert await claimed(connection, entry("a", 2, redrive=redrive("a"))) == []


async def test_another_groups_letter_is_not_ours_to_redrive(connection: AsyncConnection) -> None:
    await claimed(connection, entry("a", 1, rejection=BAD))
    others = [entry("a", 2, redrive=redrive("a", group="accounting")), entry("n", 3, redrive=redrive("n", group="x"))]
    assert await claimed(connection, *others) == []
    assert await claimed(connection, entry("a", 4, redrive=redrive("a"))) == [(4, "", 1)]


async def test_the_letter_of_a_conflict_does_not_re_open_the_claim_that_it_abused(connection: AsyncConnection) -> None:
    await claimed(connection, entry("a", 1, rejection=BAD))
    assert await claimed(connection, entry("a", 2, b"other")) == [(2, "conflict", 0)]
    assert await claimed(connection, entry("a", 3, b"other", redrive=redrive("a"))) == [(3, "conflict", 0)]


async def test_a_redrive_whose_claim_is_gone_becomes_a_letter_and_is_not_processed(connection: AsyncConnection) -> None:
    assert await claimed(connection, entry("old", 1, redrive=redrive("old"))) == [(1, "conflict", 0)]


async def test_a_record_that_can_be_decoded_at_last_must_win_its_own_id_too(connection: AsyncConnection) -> None:
    place = "orders/0/1"
    await claimed(connection, entry(place, 1, rejection=UNREADABLE), entry("orders/0/2", 2, rejection=UNREADABLE))
    still_not = entry(place, 3, redrive=redrive(place), rejection=UNREADABLE)
    assert await claimed(connection, still_not) == [(3, "undecodable", 1)]
    twins = [entry("a", 4, redrive=redrive(place, 1)), entry("a", 5, redrive=redrive("orders/0/2"))]
    assert await claimed(connection, *twins) == [(4, "", 1 + 1)], "two copies of one event are processed once"
    assert await claimed(connection, entry("a", 6, redrive=redrive(place, 1))) == []


async def test_claims_are_pruned_by_age_the_oldest_first_and_a_few_at_a_time(connection: AsyncConnection) -> None:
    await claimed(connection, *(entry(f"e-{offset}", offset) for offset in range(10)))
    await connection.execute(text("""UPDATE claims SET claimed_at = now() - make_interval(days => "offset"::int)"""))
    assert await CLAIMS.prune(connection, dt.timedelta(days=5), most=3) == 3
    assert await kept(connection) == list(range(7))
    assert await CLAIMS.prune(connection, dt.timedelta(days=5), most=3) == 1
    assert await Claims("another").prune(connection, dt.timedelta(), most=100) == 0
    assert await kept(connection) == list(range(6))


async def kept(connection: AsyncConnection) -> list[int]:
    return list((await connection.execute(text("""SELECT "offset" FROM claims ORDER BY 1"""))).scalars())


async def test_two_processes_prune_side_by_side(engine_of: Callable[[str], AsyncEngine]) -> None:
    engine = engine_of("inventory")
    async with transaction(engine) as one:
        await one.execute(text("DELETE FROM claims"))
        await claimed(one, *(entry(f"e-{offset}", offset) for offset in range(10)))
    async with transaction(engine) as one, transaction(engine) as other:
        assert await CLAIMS.prune(one, dt.timedelta(), most=6) == 6
        await other.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert await CLAIMS.prune(other, dt.timedelta(), most=6) == 4


async def test_an_older_librarys_table_is_brought_to_todays_and_twice_changes_nothing(
    migrating: AsyncConnection,
) -> None:
    await migrating.execute(text("ALTER TABLE claims DROP COLUMN claimed_at"))
    for _ in range(2):
        await migrating.run_sync(upgrade_tables)
    found = await migrating.execute(text("SELECT count(*) FROM pg_indexes WHERE indexname = 'claims_by_age'"))
    assert found.scalar_one() == 1
    await migrating.execute(text("ALTER TABLE claims RENAME TO something_else"))
    await migrating.run_sync(upgrade_tables)  # a database without the library's tables
    await migrating.rollback()
