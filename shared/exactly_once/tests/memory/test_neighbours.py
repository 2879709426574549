"""Whoever shares the process with the loop, as requests do, waits no longer than a part of a batch takes."""

import asyncio

import pytest
from shared.exactly_once.tests.memory.scene import Nothing, ParcelWeighed, PostagePriced
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import Processor, pace
from exactly_once.testing import MemoryBroker, TestKit

RECORDS = 100


@pytest.mark.parametrize(("at_a_stretch", "stretches"), [(10, 10), (RECORDS, 1)])
async def test_a_batch_lets_others_go_first_now_and_then(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, at_a_stretch: int, stretches: int
) -> None:
    monkeypatch.setattr(pace, "AT_A_STRETCH", at_a_stretch)
    processor, turns, seen = Processor(f"neighbours{at_a_stretch}"), 0, list[int]()

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
            kit.put(ParcelWeighed(parcel_id=f"p{number}", grams=1), f"{at_a_stretch}-{number}")
        assert len(await kit.settled()) == RECORDS
        neighbour.cancel()
    assert len(set(seen)) == stretches
