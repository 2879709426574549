"""A dead letter that is sent back as often as somebody likes counts once; without its fence it does not."""

from typing import Any

import pytest
from shared.exactly_once.tests.memory.scene import GROUP, Nothing, ParcelWeighed, PostagePriced, Scene
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import Processor, RejectRecord, claims
from exactly_once.batch import Entry, Partition, Record, Redrive, Rejection
from exactly_once.claims import Claims
from exactly_once.dead_letters import topic_of
from exactly_once.envelope import ID, REDRIVE_HEADERS
from exactly_once.redrive import redriven
from exactly_once.testing import TestKit
from exactly_once.transactions import transaction

COMPARED = "\n  AND c.attempt = a.attempt AND c.rejected"


def entry(event_id: str, offset: int, **more: Any) -> Entry:
    return Entry(Record(Partition("parcels", 0), offset, 0, b"anna", b"value", ()), event_id, None, **more)


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


async def test_of_two_copies_in_one_batch_the_first_counts(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        won = await Claims("copies").claim(connection, [entry("a", 1), entry("b", 2), entry("a", 3)])
    assert [each.record.offset for each in won] == [1, 2]


async def test_a_letter_that_can_be_decoded_at_last_wins_its_own_id_and_counts_on(engine: AsyncEngine) -> None:
    mine, place = Claims("decoded-at-last"), "parcels/0/1"
    async with transaction(engine) as connection:
        await mine.claim(connection, [entry(place, 1, rejection=Rejection("undecodable", "garbage"))])
        won = await mine.claim(connection, [entry("a", 2, redrive=Redrive(mine.group, place, 0))])
    assert [(each.event_id, each.attempt) for each in won] == [("a", 1)]


@pytest.mark.parametrize(
    ("event_id", "attempt"),
    [(b"a\0b", b"0"), (b"e-1", b"3000000000"), (b"e-1", b"9" * 5_000)],
    ids=["zero byte", "no int32", "no int"],
)
async def test_who_writes_a_redrives_headers_with_what_no_claim_can_hold_stops_nobody(
    scene: Scene, event_id: bytes, attempt: bytes
) -> None:
    scene.put(1, 2, 3)
    record = scene.cluster.records("parcels")[1]
    told = tuple(zip(REDRIVE_HEADERS, (GROUP.encode(), event_id, attempt), strict=True))
    scene.cluster.append("parcels", record.key, record.value, ((ID, b"forged"), *told))
    scene.put(4)
    async with scene.looping() as worker:
        await scene.passed()
        assert worker.health() is None
    assert await scene.priced() == [1, 2, 3, 2, 4]
