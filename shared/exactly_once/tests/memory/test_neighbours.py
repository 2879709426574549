"""Whoever shares the process with the loop, as requests do, waits no longer than a part of a batch takes."""

import asyncio

import pytest
from shared.exactly_once.tests.memory.scene import Nothing, ParcelWeighed, PostagePriced
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import Processor, pace
from exactly_once.testing import MemoryBroker, TestKit

RECORDS = 100  # the first ten, then one at a time, or twenty-five
LONG_S = 1_000.0


@pytest.mark.parametrize(("stretch_s", "stretches"), [(0.0, 91), (LONG_S, 5)], ids=["one by one", "as many as may be"])
async def test_a_batch_lets_others_go_first_now_and_then(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, stretch_s: float, stretches: int
) -> None:
    monkeypatch.setattr(pace, "STRETCH_S", stretch_s)
    processor, turns, seen = Processor(f"neighbours{stretches}"), 0, list[int]()

    @processor.handles(ParcelWeighed)
    def price(parcel: ParcelWeighed, nothing: Nothing) -> PostagePriced:
        seen.append(turns)
        return PostagePriced(parcel_id=parcel.parcel_id, cents=parcel.grams)

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with TestKit(processor, engine=engine, broker=MemoryBroker(partitions=1)) as kit:
        await kit.settled()
        neighbour = asyncio.create_task(take_turns())
        for number in range(RECORDS):
            kit.put(ParcelWeighed(parcel_id=f"p{number}", grams=1), f"{stretches}-{number}")
        assert len(await kit.settled()) == RECORDS
        neighbour.cancel()
    assert len(set(seen)) == stretches
