"""PostgreSQL decides: what is refused or fails is found alone, its neighbours pass, and an id counts for one record."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from shared.exactly_once.tests.memory.scene import Nothing, ParcelLost, ParcelWeighed, PostagePriced, Scene, eventually
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import Processor, RejectRecord, Retryable, pace
from exactly_once.answering import Answering
from exactly_once.batch import Entry, Partition, Record
from exactly_once.dead_letters import topic_of
from exactly_once.redrive import redriven
from exactly_once.testing import TestKit
from exactly_once.transactions import transaction

REFUSED, ALWAYS_FAILS, FAILS_ONCE, STRANGE, TWICE, FAILS_AND_WAITS = 0, -1, -2, -3, -4, -5
BROKEN = (
    "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'a bug' USING ERRCODE = '22000'; END$$",
    "CREATE TRIGGER broken BEFORE UPDATE OF next_offset ON owner FOR EACH ROW EXECUTE FUNCTION broken()",
)


@dataclass
class Office:
    """Prices parcels, and says by their weight what becomes of them."""

    name: str
    seen: list[int] = field(default_factory=list)

    @property
    def processor(self) -> Processor:
        processor = Processor(self.name)

        @processor.handles(ParcelWeighed)
        def price(parcel: ParcelWeighed, nothing: Nothing) -> PostagePriced | Sequence[PostagePriced] | None:
            self.seen.append(parcel.grams)
            if parcel.grams == REFUSED:
                raise RejectRecord("a parcel weighs something")
            if parcel.grams == ALWAYS_FAILS or (parcel.grams == FAILS_ONCE and self.seen.count(FAILS_ONCE) == 1):
                raise ZeroDivisionError("a bug")
            if parcel.grams == FAILS_AND_WAITS and (times := self.seen.count(FAILS_AND_WAITS)) <= 2:
                raise ZeroDivisionError("a bug") if times == 1 else Retryable("the scales are busy")
            if parcel.grams == STRANGE:
                return ParcelLost(parcel_id=parcel.parcel_id)  # type: ignore[return-value]  # not what it says
            answer = PostagePriced(parcel_id=parcel.parcel_id, cents=parcel.grams)
            return [answer, answer] if parcel.grams == TWICE else answer

        return processor


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 0.001)


def weighed(*grams: int) -> list[ParcelWeighed]:
    return [ParcelWeighed(parcel_id="anna", grams=each) for each in grams]


async def priced(kit: TestKit, *grams: int) -> list[int]:
    """Deliver parcels of these weights in one batch, where they arrive together; return the prices."""
    return [each.cents for each in await kit.deliver(*weighed(*grams)) if isinstance(each, PostagePriced)]


async def test_what_is_refused_or_fails_becomes_a_letter_and_its_neighbours_pass_in_order(engine: AsyncEngine) -> None:
    async with TestKit(Office("deciding").processor, engine=engine) as kit:
        assert await priced(kit, 1, REFUSED, 2, ALWAYS_FAILS, 3, STRANGE, 4) == [1, 2, 3, 4]
        told = [(letter.kind, letter.why) for letter in kit.letters()]
    assert told[:2] == [("rejected", "a parcel weighs something"), ("bug", "ZeroDivisionError: a bug")]
    kind, why = told[2]
    assert kind == "bug"
    assert "ParcelLost" in why
    assert "which its signature does not name" in why


async def test_what_fails_once_is_tried_again_and_what_always_fails_thrice(engine: AsyncEngine) -> None:
    office = Office("trying")
    async with TestKit(office.processor, engine=engine) as kit:
        assert await priced(kit, FAILS_ONCE) == [FAILS_ONCE]
        assert await priced(kit, ALWAYS_FAILS) == []
    assert office.seen.count(FAILS_ONCE) == 2
    assert office.seen.count(ALWAYS_FAILS) in {3, 4}  # it may have stood in a batch with another record at first


async def test_what_has_to_wait_when_it_is_tried_again_is_no_letter(engine: AsyncEngine) -> None:
    office = Office("waiting")
    async with TestKit(office.processor, engine=engine) as kit:
        assert await priced(kit, FAILS_AND_WAITS) == [FAILS_AND_WAITS]
        assert kit.letters() == []


async def test_a_position_that_can_not_be_moved_is_no_records_fault_and_stops_the_loop(scene: Scene) -> None:
    async with scene.looping(silent_s=0.0) as worker:
        await eventually(lambda: worker.health() is None)
        for statement in BROKEN:
            await scene.do(statement)
        try:
            scene.cluster.abort_something("parcels")
            await eventually(lambda: "a bug" in (worker.health() or ""))
        finally:
            await scene.do("DROP FUNCTION broken CASCADE")
    assert scene.cluster.records("parcels.postage") == []


async def test_a_handler_may_return_several_events(engine: AsyncEngine) -> None:
    async with TestKit(Office("several").processor, engine=engine) as kit:
        assert await priced(kit, TWICE) == [TWICE, TWICE]


async def test_another_record_under_an_id_that_was_taken_is_a_conflict(engine: AsyncEngine) -> None:
    async with TestKit(Office("conflicts").processor, engine=engine) as kit:
        await kit.deliver(*weighed(1, 2), event_ids=["one id", "one id"])
        assert [event.cents for event in kit.emitted() if isinstance(event, PostagePriced)] == [1]
        assert [(each.kind, each.why) for each in kit.letters()] == [("conflict", "another record has this event id")]


async def test_a_letter_redriven_when_its_claim_is_gone_is_a_conflict(engine: AsyncEngine) -> None:
    office = Office("gone")
    async with TestKit(office.processor, engine=engine) as kit:
        await kit.deliver(*weighed(REFUSED))
        (letter,) = kit.broker.records(topic_of(office.name))
        async with transaction(engine) as connection:
            await connection.execute(text('DELETE FROM claims WHERE "group" = :group'), {"group": office.name})
        again = redriven(letter.key, letter.value, letter.headers)
        kit.broker.append(again.topic, again.key, again.value, again.headers)
        await kit.settled()
        assert [each.why for each in kit.letters()][1:] == ["the claim that it would re-open is gone"]
    assert office.seen == [REFUSED]


async def test_what_nobody_handles_has_no_answer(scene: Scene) -> None:
    foreign = Entry(Record(Partition("parcels", 0), 0, 0, b"anna", b"", ()), "foreign", None)
    assert list(Answering(scene.processor, scene.codec).answer(foreign, {})) == []
