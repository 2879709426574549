"""A dead letter that is sent back as often as somebody likes counts once; without its fence it does not."""

import pytest
from shared.exactly_once.tests.memory.scene import Nothing, ParcelWeighed, PostagePriced
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import Processor, RejectRecord, claims
from exactly_once.dead_letters import topic_of
from exactly_once.redrive import redriven
from exactly_once.testing import TestKit

COMPARED = "\n  AND c.attempt = a.attempt AND c.rejected"


@pytest.mark.parametrize(("fenced", "times"), [(True, 1), (False, 3)])
async def test_a_letter_sent_back_thrice_is_processed_once_unless_its_claim_is_not_compared(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, *, fenced: bool, times: int
) -> None:
    if not fenced:
        assert COMPARED in claims._REOPEN.text, "the statement has changed: so must this"
        monkeypatch.setattr(claims, "_REOPEN", text(claims._REOPEN.text.replace(COMPARED, "")))
    processor, mended = Processor(f"redrives-{fenced}".lower()), False

    @processor.handles(ParcelWeighed)
    def price(parcel: ParcelWeighed, nothing: Nothing) -> PostagePriced:
        if not mended:
            raise RejectRecord("the price list is empty")
        return PostagePriced(parcel_id=parcel.parcel_id, cents=parcel.grams)

    async with TestKit(processor, engine=engine) as kit:
        await kit.deliver(ParcelWeighed(parcel_id="anna-1", grams=7))
        (letter,) = kit.broker.records(topic_of(processor.name))
        again, mended = redriven(letter.key, letter.value, letter.headers), True
        for _ in range(3):
            kit.broker.append(again.topic, again.key, again.value, again.headers)
            await kit.settled()
        assert kit.emitted() == [PostagePriced(parcel_id="anna-1", cents=7)] * times
