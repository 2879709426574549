"""A full batch is decided while the last one is published; whatever happens then, each output is published once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from shared.exactly_once.tests.memory.scene import GROUP, ParcelWeighed, Scene, eventually, until_it_gathers

from exactly_once import Retryable, loop, pace
from exactly_once.batch import Batch, Output, Partition, Positions
from exactly_once.decide import Decider
from exactly_once.errors import Halted, PublishFailed
from exactly_once.publishing import Publishing

ONE = Partition("parcels", 0)
FULL = 3


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_RECORDS", FULL)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.02)
    monkeypatch.setattr(pace, "REST_PER_COST", 0.0)


def decided_to(scene: Scene, offset: int) -> Callable[[], Awaitable[bool]]:
    async def is_there() -> bool:
        return bool(await scene.ask("SELECT next_offset FROM owner") == offset)

    return is_there


def published(scene: Scene) -> list[int]:
    return [len(each.outputs) for each in scene.cluster.published if each.outputs]


async def at_work(scene: Scene, worker: loop.Loop) -> None:
    await eventually(lambda: worker.health() is None)


async def test_the_next_full_batch_is_decided_meanwhile_and_no_third_one(scene: Scene) -> None:
    async with scene.looping() as worker:
        await at_work(scene, worker)
        scene.cluster.cost_s = 1.0
        scene.put(*range(1, 3 * FULL + 1))
        await eventually(decided_to(scene, 2 * FULL))
        await asyncio.sleep(0.1)
        assert await decided_to(scene, 2 * FULL)()
        assert published(scene) == []
        scene.cluster.cost_s = 0.0
        await scene.passed()
    assert published(scene) == [FULL, FULL, FULL]
    assert await scene.priced() == list(range(1, 3 * FULL + 1))
    assert scene.cluster.replaced == 1


async def test_a_batch_that_is_not_full_waits_until_the_last_one_is_published(scene: Scene) -> None:
    async with scene.looping() as worker:
        await at_work(scene, worker)
        scene.cluster.cost_s = 1.0
        scene.put(*range(1, FULL + 1))
        await eventually(decided_to(scene, FULL))
        scene.put(4)
        await asyncio.sleep(0.1)
        assert await decided_to(scene, FULL)()
        scene.put(5)
        await scene.passed()
    assert published(scene) == [FULL, 2]


async def test_a_loop_that_is_not_behind_decides_nothing_ahead(scene: Scene) -> None:
    async with scene.looping() as worker:
        await at_work(scene, worker)
        scene.cluster.cost_s = 1.0
        scene.put(1)
        await eventually(decided_to(scene, 1))
        scene.put(*range(2, FULL + 2))
        await asyncio.sleep(0.1)
        assert await decided_to(scene, 1)()
        await scene.passed()
    assert published(scene) == [1, FULL]


async def test_what_was_decided_behind_a_publication_that_failed_is_published_by_the_recovery(scene: Scene) -> None:
    async with scene.looping() as worker:
        await at_work(scene, worker)
        scene.cluster.cost_s, scene.cluster.failures = 1.0, 1
        scene.put(*range(1, 2 * FULL + 1))
        await eventually(decided_to(scene, 2 * FULL))
        assert published(scene) == []
        await eventually(lambda: worker.health() == "the brokers do not answer")
        scene.cluster.cost_s = 0.0
        await scene.passed()
        assert scene.cluster.replaced == 2
    assert published(scene) == [2 * FULL]
    assert await scene.priced() == list(range(1, 2 * FULL + 1))


async def test_a_publication_that_fails_is_noticed_though_nothing_arrives(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.looping() as worker:
        await at_work(scene, worker)
        monkeypatch.setattr(loop, "IDLE_POLL_S", 1_000.0)
        for grams in ([1], [2, 3, 4]):  # the one ends the idle poll that is under way, the others are a full batch
            scene.cluster.cost_s, scene.cluster.failures = 0.1, 1
            started = time.monotonic()
            scene.put(*grams)
            await eventually(lambda: scene.cluster.failures == 0 and not scene.cluster.behind(GROUP, ["parcels"]))
            assert time.monotonic() - started < 2.0
        monkeypatch.setattr(loop, "IDLE_POLL_S", 0.02)
        scene.put(5)
    assert await scene.priced() == [1, 2, 3, 4, 5]


async def test_a_publication_that_fails_waits_for_no_call(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Scales:
        broken = False

    @scene.processor.calls(ParcelWeighed)
    async def weigh(parcel: ParcelWeighed, scales: Scales) -> int:
        if scales.broken and parcel.grams > FULL:
            raise Retryable("the scales are broken")
        return parcel.grams

    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 0.01)
    scales = Scales()
    async with scene.looping(resources=[scales]) as worker:
        await at_work(scene, worker)
        scales.broken = True
        scene.cluster.cost_s, scene.cluster.failures = 0.1, 1
        scene.put(*range(1, 2 * FULL + 1))
        await eventually(lambda: published(scene) == [FULL])
        assert await scene.priced() == list(range(1, FULL + 1))
        scales.broken = False
        await scene.passed()
    assert await scene.priced() == list(range(1, 2 * FULL + 1))


async def test_what_was_decided_is_published_before_a_loop_is_halted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = Decider.decide

    async def halted(self: Decider, batch: Batch, epochs: Positions) -> list[Output]:
        if batch.start[ONE] >= FULL:
            raise Halted("too many dead letters")
        return await decide(self, batch, epochs)

    monkeypatch.setattr(Decider, "decide", halted)
    async with scene.looping() as worker:
        await at_work(scene, worker)
        scene.cluster.cost_s, scene.cluster.failures = 0.1, 1
        scene.put(*range(1, 2 * FULL + 1))
        await eventually(lambda: worker.health() == "too many dead letters")
        assert published(scene) == [FULL]
        assert scene.cluster.replaced == 2


async def test_partitions_that_go_to_another_member_while_one_publishes_and_is_ahead_lose_nothing(
    scene: Scene,
) -> None:
    async with scene.looping(instance="1") as first:
        await at_work(scene, first)
        scene.cluster.cost_s = 1.0
        scene.put(*range(1, 2 * FULL + 1))
        await eventually(decided_to(scene, 2 * FULL))
        assert published(scene) == []
        async with scene.looping(instance="2") as second:
            scene.cluster.cost_s = 0.0
            await at_work(scene, second)
            scene.put(*range(2 * FULL + 1, 3 * FULL + 1))
            await scene.passed()
            assert await scene.priced() == list(range(1, 3 * FULL + 1))


@pytest.mark.parametrize("more", [0, FULL], ids=["gathers", "waits for it"])
async def test_a_loop_that_is_cancelled_while_it_publishes_leaves_nothing_running(scene: Scene, more: int) -> None:
    worker = loop.Loop(scene.processor, engine=scene.engine, kafka=scene.cluster, codec=scene.codec)
    task = asyncio.create_task(worker.run())
    await at_work(scene, worker)
    before = asyncio.all_tasks()
    scene.cluster.cost_s = 1_000.0
    scene.put(*range(1, FULL + more + 1))
    await eventually(decided_to(scene, FULL + more))
    await until_it_gathers(scene) if not more else await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert asyncio.all_tasks() <= before


async def test_of_two_decided_batches_that_nobody_saw_a_successor_publishes_both_in_order(scene: Scene) -> None:
    worker = loop.Loop(scene.processor, engine=scene.engine, kafka=scene.cluster, codec=scene.codec, prune_every_s=0.0)
    task = asyncio.create_task(worker.run())
    await at_work(scene, worker)
    scene.cluster.cost_s = 1_000.0
    scene.put(*range(1, 2 * FULL + 1))
    await eventually(decided_to(scene, 2 * FULL))
    task.cancel()
    await asyncio.wait({task})
    assert scene.cluster.committed() == {ONE: 0}
    assert await scene.ask("SELECT count(*) FROM outputs") == 2 * FULL, "what is not published is not pruned"
    scene.cluster.cost_s = 0.0
    async with scene.looping():
        await scene.passed()
    assert await scene.priced() == list(range(1, 2 * FULL + 1))


async def test_what_is_being_published_when_a_decision_fails_ends_before_the_recovery(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 1.0)  # long enough to look before the recovery
    async with scene.looping() as worker:
        await at_work(scene, worker)
        scene.cluster.cost_s = 1.0
        scene.put(*range(1, FULL + 1))
        await eventually(decided_to(scene, FULL))
        await scene.do("UPDATE owner SET epoch = epoch + 1")
        scene.put(*range(FULL + 1, 2 * FULL + 1))
        await eventually(lambda: "another owner" in (worker.health() or ""))
        assert published(scene) == [FULL]
        assert scene.cluster.replaced == 1
        scene.cluster.cost_s = 0.0
        await scene.passed()
    assert published(scene) == [FULL, FULL]
    assert await scene.priced() == list(range(1, 2 * FULL + 1))
    assert not scene.cluster.behind(GROUP, ["parcels"])


async def test_a_loop_that_is_told_to_stop_waits_for_its_publication(scene: Scene) -> None:
    async with scene.looping() as worker:
        await at_work(scene, worker)
        scene.cluster.cost_s = 0.2
        scene.put(*range(1, FULL + 1))
        await eventually(decided_to(scene, FULL))
    assert published(scene) == [FULL]
    assert scene.cluster.committed() == {ONE: FULL}


async def failing(publication: Coroutine[Any, Any, None], failure: BaseException) -> None:
    async with Publishing({ONE: 0}) as publishing:
        publishing.start(publication, {ONE: 1})
        await asyncio.sleep(0)
        assert publishing.is_under_way
        raise failure


async def test_what_is_under_way_ends_before_a_block_that_fails() -> None:
    ended = asyncio.Event()

    async def publication() -> None:
        await asyncio.sleep(0.05)
        ended.set()

    with pytest.raises(ZeroDivisionError):
        await failing(publication(), ZeroDivisionError())
    assert ended.is_set()


async def test_of_a_block_and_its_publication_that_both_fail_the_publications_failure_is_raised() -> None:
    async def publication() -> None:
        await asyncio.sleep(0.05)
        raise PublishFailed("the brokers do not answer")

    with pytest.raises(PublishFailed) as raised:
        await failing(publication(), ZeroDivisionError())
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


async def test_a_cancellation_from_elsewhere_cancels_no_publication() -> None:
    """A task within the Kafka client that is cancelled raises it in whoever waits for that task."""
    ended = asyncio.Event()

    async def publication() -> None:
        await asyncio.sleep(0.05)
        ended.set()

    with pytest.raises(asyncio.CancelledError):
        await failing(publication(), asyncio.CancelledError())
    assert ended.is_set()


async def test_what_is_under_way_is_cancelled_with_its_task_and_waited_for() -> None:
    ended: list[str] = []

    async def publication() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(0.01)
            ended.append("ended")

    async def waits() -> None:
        async with Publishing({ONE: 0}) as publishing:
            publishing.start(publication(), {ONE: 1})
            await asyncio.sleep(1_000)

    task = asyncio.create_task(waits())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert ended == ["ended"]


async def test_positions_move_once_a_publication_was_awaited() -> None:
    async with Publishing({ONE: 0}) as publishing:
        await publishing.ended()
        publishing.start(asyncio.sleep(0), {ONE: 1})
        assert publishing.positions == {ONE: 0}
        await publishing.ended()
        assert publishing.positions == {ONE: 1}
        assert not publishing.is_under_way
