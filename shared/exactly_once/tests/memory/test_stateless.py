"""A loop without a database: Kafka's offsets are all it has, and each record is answered once all the same."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

import pytest
from prometheus_client import REGISTRY
from shared.exactly_once.tests.memory.scene import (
    Cluster,
    Nothing,
    ParcelLost,
    ParcelWeighed,
    PostagePriced,
    eventually,
)

from exactly_once import Codec, Loop, Processor, RejectRecord, Retryable, dead_letters, loop
from exactly_once.batch import Batch, Entry, Partition, Positions, Record
from exactly_once.dead_letters import topic_of
from exactly_once.edge import Consumer
from exactly_once.envelope import (
    DLQ_ATTEMPT,
    DLQ_EVENT_ID,
    DLQ_OFFSET,
    ID,
    REDRIVE_GROUP,
    Provenance,
    text_header,
)
from exactly_once.errors import FencedByGroup, TooManyDeadLetters
from exactly_once.kafka.membership import Membership
from exactly_once.recovery import Ownership
from exactly_once.redrive import redriven
from exactly_once.stateless import Stateless
from exactly_once.testing import TestKit

GROUP = "postage"
PLACE = Partition("parcels", 0)


@dataclass
class Postage:
    """A processor that prices parcels; it refuses those that weigh nothing, and fails at what weighs less."""

    failure: Exception | None = None
    seen: list[int] = field(default_factory=list)

    @property
    def processor(self) -> Processor:
        processor = Processor(GROUP)

        @processor.handles(ParcelWeighed)
        def price(parcel: ParcelWeighed) -> PostagePriced:
            self.seen.append(parcel.grams)
            if self.failure is not None:
                raise self.failure
            if parcel.grams == 0:
                raise RejectRecord("a parcel weighs something")
            if parcel.grams < 0:
                raise ZeroDivisionError("a bug")
            return priced(parcel.grams)

        return processor


def weighed(*grams: int) -> list[ParcelWeighed]:
    return [parcel(each) for each in grams]


def parcel(grams: int) -> ParcelWeighed:
    return ParcelWeighed(parcel_id="anna", grams=grams)


def priced(grams: int) -> PostagePriced:
    return PostagePriced(parcel_id="anna", cents=grams)


def kit_of(postage: Postage, cluster: Cluster | None = None) -> TestKit:
    return TestKit(postage.processor, broker=cluster or Cluster())


async def put_at_once(kit: TestKit, grams: Iterable[int]) -> None:
    """Put parcels so that one poll finds them all."""
    kit.broker.hold(GROUP)
    for number, each in enumerate(grams):
        kit.put(parcel(each), f"at-once-{number}")
    while kit.broker.let_through(GROUP, PLACE):
        continue


def letters(kit: TestKit) -> list[Record]:
    return kit.broker.records(topic_of(GROUP))


async def test_each_record_is_answered_once_in_order_also_by_a_successor() -> None:
    cluster = Cluster()
    async with kit_of(Postage(), cluster) as kit:
        assert await kit.deliver(*weighed(1, 2, 3)) == [priced(1), priced(2), priced(3)]
        await kit.restart()
        assert await kit.deliver(*weighed(4)) == [priced(4)]
    assert cluster.committed() == {PLACE: 4}


async def test_outputs_and_offsets_are_one_transaction() -> None:
    cluster = Cluster()
    async with kit_of(Postage(), cluster) as kit:
        await kit.deliver(*weighed(1))
    (published,) = [each for each in cluster.published if each.outputs]
    assert published.positions == {PLACE: 1}


async def test_its_batches_have_a_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_STATELESS", 3)
    monkeypatch.setattr(loop, "MOST_RECORDS", 100)
    cluster = Cluster()
    async with kit_of(Postage(), cluster) as kit:
        await put_at_once(kit, range(1, 8))
        await kit.settled()
    assert [len(each.outputs) for each in cluster.published if each.outputs] == [3, 3, 1]


async def test_who_never_committed_begins_where_the_topic_does() -> None:
    cluster, postage = Cluster(), Postage()
    async with kit_of(postage, cluster) as kit:
        cluster.hold(GROUP)
        for number, each in enumerate(weighed(1, 2, 3)):
            kit.put(each, f"e{number}")
        await kit.restart()
        cluster.log(PLACE).drop_before(1)
        await kit.restart()
        while cluster.let_through(GROUP, PLACE):
            continue
        assert await kit.settled() == [priced(2), priced(3)]
    assert postage.seen == [2, 3]


async def test_after_a_failed_publication_the_same_records_are_answered_again_and_visible_once() -> None:
    cluster, postage = Cluster(), Postage()
    async with kit_of(postage, cluster) as kit:
        await kit.settled()
        cluster.failures = 2
        assert await kit.deliver(*weighed(1, 2)) == [priced(1), priced(2)]
        assert kit.health() is None
    assert postage.seen == [1, 2] * 3
    assert cluster.replaced >= 3


async def test_a_zombie_is_refused_and_what_it_answered_is_not_seen() -> None:
    cluster, postage = Cluster(), Postage()
    async with kit_of(postage, cluster) as kit:
        await eventually(lambda: kit.health() is None)
        (zombie,) = cluster.group(GROUP).members.values()
        cluster.cost_s = 0.05
        kit.put(parcel(1), "e1")
        await eventually(lambda: postage.seen == [1])
        cluster.group(GROUP).leave(zombie)  # its publication is under way
        assert await kit.settled() == [priced(1)]
    assert postage.seen == [1, 1], "it was answered in vain, and again in the next generation"
    assert len(cluster.records("parcels.postage")) == 1


async def test_what_is_refused_buggy_or_garbage_becomes_a_letter_and_its_neighbours_pass_in_order() -> None:
    postage = Postage()
    async with kit_of(postage) as kit:
        kit.broker.hold(GROUP)
        for number, each in enumerate(weighed(1, 0, 2, -1)):
            kit.put(each, f"e{number}")
        kit.broker.append("parcels", b"anna", b"garbage")
        kit.put(parcel(3), "e5")
        while kit.broker.let_through(GROUP, PLACE):
            continue
        assert await kit.settled() == [priced(1), priced(2), priced(3)]
        assert [(each.kind, each.event_id) for each in kit.letters()] == [
            ("rejected", "e1"),
            ("bug", "e3"),
            ("undecodable", "parcels/0/4"),
        ]
        assert kit.letters()[1].why == "ZeroDivisionError: a bug"
    assert postage.seen == [1, 0, 2, -1, 3], "a bug is not tried again"


async def test_types_that_nobody_handles_are_passed() -> None:
    cluster = Cluster()
    lost = await Codec.open(cluster.schemas, "/test", emits=[ParcelLost], handles=[], prefix="")
    async with kit_of(Postage(), cluster) as kit:
        cluster.append(*lost.encode(ParcelLost(parcel_id="anna"), Provenance("lost", "lost", "lost")))
        assert await kit.deliver(*weighed(1)) == [priced(1)]
        assert kit.letters() == []


async def test_what_may_pass_is_tried_again_with_all_its_neighbours() -> None:
    postage = Postage(failure=Retryable("not now"))
    async with kit_of(postage) as kit:
        kit.put(parcel(1), "e1")
        await eventually(lambda: kit.health() == "not now")
        postage.failure = None
        assert await kit.settled() == [priced(1)]
        assert kit.letters() == []


async def test_too_many_letters_halt_it_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MOST_IN_A_ROW", 3)
    cluster = Cluster()
    async with kit_of(Postage(), cluster) as kit:
        for number in range(4):
            kit.put(parcel(0), f"e{number}")
            if number < 3:
                await kit.settled()
        await eventually(lambda: (kit.health() or "").startswith("4 of the last 4 records"))
        assert len(letters(kit)) == 3
        assert cluster.committed() == {PLACE: 3}


async def test_too_many_letters_in_one_batch_stop_before_any_and_the_last_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_letters, "MOST_IN_A_ROW", 3)
    cluster, postage = Cluster(), Postage()
    async with kit_of(postage, cluster) as kit:
        await put_at_once(kit, [1, *[0] * 30])
        await eventually(lambda: "would be dead letters" in (kit.health() or ""))
        assert (kit.health() or "").endswith("; the last would be parcels/0/9: a parcel weighs something")
        assert cluster.records("parcels.postage") == letters(kit) == []
    assert len(postage.seen) == 10, "it stopped behind the stretch that was too much"


async def test_letters_count_when_they_are_published_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MOST_IN_A_ROW", 4)
    cluster = Cluster()
    async with kit_of(Postage(), cluster) as kit:
        await kit.deliver(*weighed(0, 0))
        cluster.failures = 1
        await put_at_once(kit, [0, 0])
        await kit.settled()
        assert (kit.health(), len(letters(kit))) == (None, 4)
        await put_at_once(kit, [0])
        await eventually(lambda: (kit.health() or "").startswith("5 of the last 5 records"))


async def test_batches_behind_one_that_is_not_published_come_again_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_STATELESS", 2)
    cluster, postage = Cluster(), Postage()
    async with kit_of(postage, cluster) as kit:
        await kit.settled()
        cluster.cost_s, cluster.failures = 0.05, 1
        await put_at_once(kit, range(1, 9))
        assert await kit.settled() == [priced(grams) for grams in range(1, 9)]
    assert postage.seen == [1, 2, 3, 4, *range(1, 9)], "a batch was decided while the one before was published"


async def test_an_event_that_lies_there_twice_is_answered_twice_under_one_id() -> None:
    async with kit_of(Postage()) as kit:
        await kit.deliver(*weighed(1), event_ids=["e1"])
        await kit.deliver(*weighed(1), event_ids=["e1"])
        first, second = (text_header(each.headers, ID) for each in kit.broker.records("parcels.postage"))
    assert first == second


async def test_a_redriven_letter_is_answered_and_other_groups_are_not() -> None:
    postage = Postage()
    async with kit_of(postage) as kit:
        await kit.deliver(*weighed(0), event_ids=["e0"])
        (letter,) = letters(kit)
        again = redriven(letter.key, letter.value, letter.headers)
        for group in ("a-group", GROUP, "zebras"):
            headers = tuple((name, group.encode() if name == REDRIVE_GROUP else value) for name, value in again.headers)
            kit.broker.append(again.topic, again.key, again.value, headers)
        await kit.settled()
        names = (DLQ_EVENT_ID, DLQ_ATTEMPT, DLQ_OFFSET)
        told = [tuple(text_header(each.headers, name) for name in names) for each in letters(kit)]
    assert told == [("e0", "0", "0"), ("e0", "1", "2")]
    assert postage.seen == [0, 0]


@dataclass
class Member:
    """A member of the group, before its loop has begun."""

    cluster: Cluster
    consumer: Consumer
    stateless: Stateless

    @classmethod
    async def join(cls) -> Self:
        cluster = Cluster()
        consumer, producer = cluster.consumer(GROUP, ["parcels"]), cluster.producer(GROUP, "1")
        codec = await Codec.open(cluster.schemas, "/test", emits=[PostagePriced], handles=[ParcelWeighed], prefix="")
        await consumer.ensure()
        return cls(cluster, consumer, Stateless(Postage().processor, codec, consumer, producer))

    async def membership(self) -> Membership:
        membership = await self.consumer.membership(1.0)
        assert membership is not None
        return membership


async def test_who_was_dropped_before_it_was_assigned_fences_nobody() -> None:
    member = await Member.join()
    with pytest.raises(FencedByGroup):
        await member.stateless.recover(replace(await member.membership(), generation=-1))
    assert member.cluster.replaced == 0


async def test_nothing_is_delivered_between_a_recovery_and_where_it_says_to_go_on() -> None:
    member = await Member.join()
    membership = await member.membership()
    member.consumer.resume_at(membership, {PLACE: 0})
    member.cluster.append("parcels", b"anna", b"value")
    owned = await member.stateless.recover(membership)
    assert owned == Ownership({PLACE: 0}, {})
    assert (await member.consumer.poll(membership, 0.0, 10)).records == []


@pytest.mark.parametrize("goes_on_at", [{}, {PLACE: 1}], ids=["another member has it", "it is published"])
async def test_a_letter_that_does_not_come_again_counts(monkeypatch: pytest.MonkeyPatch, goes_on_at: Positions) -> None:
    monkeypatch.setattr(dead_letters, "MOST_IN_A_ROW", 1)
    member = await after_a_letter(goes_on_at)
    with pytest.raises(TooManyDeadLetters, match="2 of the last 2 records"):
        await member.stateless.decide(letter_at(1), {})


async def test_a_letter_that_comes_again_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MOST_IN_A_ROW", 1)
    member = await after_a_letter({PLACE: 0})
    assert len(await member.stateless.decide(letter_at(0), {})) == 1


async def after_a_letter(goes_on_at: Positions) -> Member:
    """A member that decided one letter, and then recovered where the group goes on."""
    member = await Member.join()
    await member.stateless.decide(letter_at(0), {})
    group, membership = member.cluster.group(GROUP), await member.membership()
    group.committed.update(goes_on_at)
    await member.stateless.recover(replace(membership, partitions=frozenset(goes_on_at)))
    return member


def letter_at(offset: int) -> Batch:
    entry = Entry(Record(PLACE, offset, 0, b"anna", b"", ()), f"e{offset}", None).rejected("undecodable", "it is empty")
    return Batch([entry], {PLACE: offset}, {PLACE: offset + 1})


async def test_each_recovery_is_counted() -> None:
    member = await Member.join()

    def counted() -> float:
        return REGISTRY.get_sample_value("exactly_once_recoveries_total", {"group": GROUP}) or 0.0

    before = counted()
    await member.stateless.recover(await member.membership())
    assert counted() == before + 1


class Scales:
    pass


def test_a_processor_that_keeps_or_asks_something_wants_a_database() -> None:
    processor = Processor(GROUP)

    @processor.calls(ParcelWeighed)
    async def weigh(parcel: ParcelWeighed, scales: Scales) -> int:
        return parcel.grams

    @processor.handles(ParcelWeighed)
    def price(parcel: ParcelWeighed, nothing: Nothing, grams: int) -> None:
        return None

    cluster = Cluster()
    codec = Codec(cluster.schemas, "/test", [ParcelWeighed])
    with pytest.raises(TypeError, match="price, weigh of postage can't do without a database"):
        Loop(processor, engine=None, kafka=cluster, codec=codec, resources=[Scales()])


async def test_a_handler_that_keeps_nothing_may_have_a_database(engine: object) -> None:
    async with TestKit(Postage().processor, engine=engine) as kit:  # type: ignore[arg-type]  # the fixture's
        assert await kit.deliver(*weighed(1), event_ids=["kept"]) == [priced(1)]
        assert await kit.deliver(*weighed(1), event_ids=["kept"]) == []
