"""The kit with which users test their handlers, and the documentation that says how."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once.testing import MemoryBroker, TestKit, temporary_database
from waybill.stack import Stack

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).parents[4] / "docs" / "testing.md"


@pytest.fixture(scope="module")
def server(stack: Stack) -> str:
    return stack.postgres_dsn("postgres", "operator").replace("postgresql://", "postgresql+asyncpg://", 1)


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """What the documentation's example defines."""
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(found[1], str(DOCUMENT), "exec"), names)  # noqa: S102  # our own documentation
    return names


@pytest.fixture(scope="module")
async def engine(server: str) -> AsyncIterator[AsyncEngine]:
    async with temporary_database(server) as engine:
        yield engine


async def test_the_documentations_example_runs(documented: dict[str, Any], server: str) -> None:
    await documented["test_a_parcel_is_priced_once"](server)


async def test_a_second_kit_goes_on_where_the_database_is(documented: dict[str, Any], engine: AsyncEngine) -> None:
    processor, weighed, priced = (documented[name] for name in ("processor", "ParcelWeighed", "PostagePriced"))
    for cents in (101, 102, 103):
        async with TestKit(processor, engine=engine) as kit:
            await kit.deliver(weighed(parcel_id="anna", grams=10 * (cents - 100)))
            assert kit.emitted() == [priced(parcel_id="anna", cents=cents)]


async def test_garbage_becomes_a_dead_letter_and_its_neighbours_pass(
    documented: dict[str, Any], engine: AsyncEngine
) -> None:
    async with TestKit(documented["processor"], engine=engine) as kit:
        kit.put(documented["ParcelWeighed"](parcel_id="anna", grams=10), "kit-1")
        await kit.deliver_bytes("parcels", b"garbage", b"anna")
        await kit.deliver(documented["ParcelWeighed"](parcel_id="anna", grams=20))
        assert [event.cents for event in kit.emitted() if isinstance(event, documented["PostagePriced"])] == [101, 102]
        assert [(letter.kind, letter.value) for letter in kit.letters()] == [("undecodable", b"garbage")]


async def test_a_held_record_is_late_and_then_comes(documented: dict[str, Any], engine: AsyncEngine) -> None:
    async with TestKit(documented["processor"], engine=engine, broker=MemoryBroker()) as kit:
        kit.broker.hold("postage")
        record = kit.put(documented["ParcelWeighed"](parcel_id="anna", grams=10), "kit-late")
        assert await kit.settled() == []
        assert kit.broker.let_through("postage", record.source) == record
        assert await kit.settled() == [documented["PostagePriced"](parcel_id="anna", cents=101)]


async def test_a_delivery_takes_milliseconds(documented: dict[str, Any], engine: AsyncEngine) -> None:
    async with TestKit(documented["processor"], engine=engine) as kit:
        await kit.deliver(documented["ParcelWeighed"](parcel_id="warm", grams=10))
        started = time.monotonic()
        for number in range(20):
            await kit.deliver(documented["ParcelWeighed"](parcel_id=f"parcel-{number}", grams=10))
        assert (time.monotonic() - started) / 20 < 0.25  # some 10 ms on an idle machine
