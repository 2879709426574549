"""The loop: what it waits for, what it gathers into a batch, what it counts, and how it goes on after failures."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import pytest
from prometheus_client import REGISTRY
from shared.exactly_once.tests.memory.scene import (
    GROUP,
    ParcelLost,
    ParcelWeighed,
    PostagePriced,
    Scene,
    eventually,
    running,
    until_it_gathers,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once import Codec, Event, Processor, Retryable, loop, pace
from exactly_once.batch import Partition
from exactly_once.envelope import CORRELATION_ID, ID, TRACEPARENT, text_header

ONE = Partition("parcels", 0)
FOR_EVER_S = 1_000.0


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"exactly_once_{name}", {"group": GROUP} | labels) or 0.0


def sizes(scene: Scene) -> list[int]:
    """Return how many outputs each transaction had that had any."""
    return [len(each.outputs) for each in scene.cluster.published if each.outputs]


async def until_priced(scene: Scene, number: int) -> None:
    await eventually(lambda: len(sizes(scene)) >= number)


async def test_what_arrives_is_priced_once_also_by_a_successor(scene: Scene) -> None:
    for grams in ([1, 2, 3], [4, 5]):
        scene.put(*grams)
        async with scene.looping() as worker:
            await scene.passed()
            assert worker.health() is None
    assert await scene.priced() == [1, 2, 3, 4, 5]


async def test_a_loop_that_ends_leaves_its_group_and_stops_its_producer(scene: Scene) -> None:
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
    assert scene.cluster.group(GROUP).members == {}
    assert scene.cluster.stopped == 1


async def test_a_loop_says_that_it_waits_for_its_group_until_that_assigns(scene: Scene) -> None:
    scene.cluster.lets_in = False
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() == "it waits for its group to assign partitions")
        scene.cluster.lets_in = True
        await eventually(lambda: worker.health() is None)


async def test_who_has_no_partition_stands_by_and_takes_over_when_the_other_leaves(scene: Scene) -> None:
    async with scene.looping(instance="1") as first:
        await eventually(lambda: first.health() is None)
        standby = loop.Loop(scene.processor, engine=scene.engine, kafka=scene.cluster, codec=scene.codec, instance="2")
        async with running(standby):
            await eventually(lambda: standby.health() is None)
            scene.put(1)
            await scene.passed()
            await first.stop()
            scene.put(2)
            await scene.passed()
            assert standby.health() is None
    assert await scene.priced() == [1, 2]


async def test_a_standby_ends_when_it_is_told_to(scene: Scene) -> None:
    async with scene.looping(instance="1") as first:
        await eventually(lambda: first.health() is None)
        async with scene.looping(instance="2") as standby:
            await eventually(lambda: standby.health() is None)  # and out of here without being cut off


async def test_a_call_that_fails_for_long_is_what_the_loop_says(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Scales:
        broken = True

    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 0.001)
    scales = Scales()

    @scene.processor.calls(ParcelWeighed)
    async def weigh(parcel: ParcelWeighed, scales: Scales) -> int:
        if scales.broken:
            raise Retryable("the scales are broken")
        return parcel.grams

    async with scene.looping(resources=[scales]) as worker:
        scene.put(1)
        await eventually(lambda: worker.health() == "a call is repeated: the scales are broken")
        scales.broken = False
        await scene.passed()
        assert worker.health() is None
    assert await scene.priced() == [1]


async def test_after_a_failed_publication_the_stored_outputs_are_published_once(scene: Scene) -> None:
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        scene.cluster.failures = 1
        scene.put(1)
        await eventually(lambda: worker.health() == "the brokers do not answer")
        await scene.passed()
        scene.put(2)
        await scene.passed()
        assert worker.health() is None
    assert await scene.priced() == [1, 2]


async def test_failures_with_a_success_in_between_are_not_in_a_row(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 0.02)
    async with scene.looping() as worker:
        for number in range(9):  # the ninth in a row waits for 2.5 seconds
            await eventually(lambda: worker.health() is None)
            scene.put(number)
            await scene.passed()
            scene.cluster.failures = 1
            started = time.monotonic()
            scene.put(number)
            await scene.passed()
    assert time.monotonic() - started < 1.5


async def test_published_outputs_are_dropped_and_what_is_not_published_is_kept(scene: Scene) -> None:
    async with scene.looping(prune_every_s=0.0):
        for number in range(3):
            scene.put(number + 1)
            await scene.passed()
        await eventually(lambda: nothing_is_stored(scene))


async def nothing_is_stored(scene: Scene) -> bool:
    return bool(await scene.ask("SELECT count(*) = 0 FROM outputs"))


async def test_a_transaction_is_followed_by_a_rest_as_long_as_it_was_dear(scene: Scene) -> None:
    scene.cluster.cost_s = 0.04
    gaps = await gaps_between(scene, batches=3, records=pace.ENOUGH)
    assert min(gaps) >= pace.REST_PER_COST * 0.035


async def test_a_transaction_of_few_records_is_followed_by_a_shorter_rest(scene: Scene) -> None:
    scene.cluster.cost_s = 0.04
    gaps = await gaps_between(scene, batches=6, records=1)
    assert min(gaps) < pace.REST_PER_COST * 0.04 / 2


async def test_a_cheap_transaction_is_followed_by_hardly_a_rest(scene: Scene) -> None:
    gaps = await gaps_between(scene, batches=6, records=pace.ENOUGH)
    assert min(gaps) < pace.LONGEST_REST_S / 2


async def gaps_between(scene: Scene, *, batches: int, records: int) -> list[float]:
    """Give the loop batch after batch, each when the one before is through; return the seconds between them."""
    async with scene.looping():
        for done in range(batches):
            scene.put(*range(records))
            await until_priced(scene, done + 1)
    return [after.began - before.ended for before, after in pairwise(scene.cluster.published[-batches:])]


async def test_a_batch_holds_so_many_records_and_no_more(scene: Scene) -> None:
    scene.put(*range(1, 8))
    async with scene.looping(most_records=3):
        await scene.passed()
    assert sizes(scene) == [3, 3, 1]
    assert await scene.priced() == list(range(1, 8))


@pytest.fixture
def rests_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "REST_PER_COST", 1e9)
    monkeypatch.setattr(pace, "LONGEST_REST_S", FOR_EVER_S)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.05)
    monkeypatch.setattr(loop, "MOST_RECORDS", 3)


@pytest.mark.usefixtures("rests_for_ever")
async def test_a_rest_ends_with_a_full_batch_and_what_is_more_waits(scene: Scene) -> None:
    worker = loop.Loop(scene.processor, engine=scene.engine, kafka=scene.cluster, codec=scene.codec)
    task = asyncio.create_task(worker.run())
    await eventually(lambda: worker.health() is None)
    scene.put(1)
    await eventually(lambda: sizes(scene) == [1])
    scene.put(2, 3)
    await asyncio.sleep(0.05)
    assert sizes(scene) == [1], "it rests"
    scene.put(4, 5, 6, 7)
    await eventually(lambda: sizes(scene) == [1, 3, 3])
    task.cancel()
    await asyncio.wait({task})


async def test_who_rests_waits_for_records_and_does_not_ask_again_and_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.cluster.cost_s = 0.05
    async with scene.looping():
        scene.put(1)
        await eventually(lambda: sizes(scene) == [1])
        polls, started = scene.cluster.polls, time.monotonic()
        await asyncio.sleep(pace.REST_PER_COST * 0.04)
        assert scene.cluster.polls - polls <= 3 + (time.monotonic() - started) / loop.IDLE_POLL_S


async def test_records_wait_for_company_and_not_for_an_idle_poll(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "IDLE_POLL_S", 2.0)
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        started = time.monotonic()
        scene.put(1)
        await scene.passed()
        assert time.monotonic() - started < 0.9
        scene.put(2)  # wakes the poll, or the end would wait for it


async def test_records_that_come_one_after_the_other_within_a_moment_share_a_transaction(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "COMPANY_S", 0.3)
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        scene.put(1)
        await until_it_gathers(scene)
        scene.put(2)
        await scene.passed()
    assert sizes(scene) == [2]


async def test_an_event_of_another_writer_is_read_with_its_writers_schema(scene: Scene) -> None:
    class ParcelWeighedAgain(ParcelWeighed):
        scales: str = "new"

    ParcelWeighedAgain.__name__ = "ParcelWeighed"
    foreign = await Codec.open(scene.cluster.schemas, "/new", emits=[ParcelWeighedAgain], handles=[], prefix="")
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        scene.codec, codec = foreign, scene.codec
        scene.append(ParcelWeighedAgain(parcel_id="anna", grams=7))
        await scene.passed()
        scene.codec = codec
    assert await scene.priced() == [7]


async def test_what_became_of_each_record_is_counted(scene: Scene) -> None:
    results = ("handled", "rejected", "skipped")
    before = [sample("records_total", topic="parcels", result=each) for each in results]
    batches = sample("batch_records_count"), sample("batch_records_sum")
    times = [sample("step_seconds_count", step=each) for each in ("decide", "publish")]
    scene.put(1, 2)
    scene.cluster.append("parcels", b"anna", b"garbage")
    scene.append(ParcelLost(parcel_id="anna"))
    async with scene.looping():
        await scene.passed()
        await eventually(lambda: sample("batch_records_sum") == batches[1] + 4)
    after = [sample("records_total", topic="parcels", result=each) for each in results]
    assert [new - old for old, new in zip(before, after, strict=True)] == [2, 1, 1]
    assert sample("batch_records_count") == batches[0] + 1
    counted = [sample("step_seconds_count", step=each) for each in ("decide", "publish")]
    assert [new - old for old, new in zip(times, counted, strict=True)] == [1, 1]
    assert 0 < sample("step_seconds_sum", step="decide") < 60


LONG = b"x" * 950_000


async def test_what_a_foreign_producer_writes_into_headers_does_not_make_an_output_too_large(scene: Scene) -> None:
    scene.put(7)
    (record,) = scene.cluster.records("parcels")
    headers = ((ID, b"foreign"), (CORRELATION_ID, LONG), (TRACEPARENT, LONG))
    scene.cluster.append("parcels", record.key, record.value, headers)
    async with scene.looping():
        await scene.passed()
    _, output = scene.cluster.records("parcels.postage")
    assert text_header(output.headers, CORRELATION_ID) == "foreign"
    assert sum(len(name) + len(value or b"") for name, value in output.headers) < 1_000


@dataclass
class SlowTable:
    """Stands for a PostgreSQL that has time for four rows."""

    asked: ClassVar[list[int]] = []

    @classmethod
    async def load(cls, _: AsyncConnection, events: Sequence[Event]) -> Self:
        cls.asked.append(len(events))
        if len(events) > 4:
            raise Retryable("PostgreSQL took too long")
        return cls()

    async def save(self, _: AsyncConnection) -> None:
        return


async def test_what_is_too_slow_in_one_batch_is_decided_in_smaller_ones_that_grow_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LEAST", 3)
    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 0.001)
    scene.processor = Processor(GROUP)

    @scene.processor.handles(ParcelWeighed)
    def price(parcel: ParcelWeighed, table: SlowTable) -> PostagePriced:
        return PostagePriced(parcel_id=parcel.parcel_id, cents=parcel.grams)

    scene.put(*range(16))
    async with scene.looping(most_records=16):
        await scene.passed()
    assert await scene.priced() == list(range(16))
    assert SlowTable.asked[:4] == [16, 8, 4, 8]  # and what is too slow for three as well stays three
    assert min(SlowTable.asked[:-1]) >= 3
