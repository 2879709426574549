"""The next full batch is read while one is decided: no sooner, no more, and nothing of it outlives its membership."""

import asyncio
from collections.abc import Callable, Iterable

import pytest
from shared.exactly_once.tests.memory.scene import GROUP, ParcelWeighed, Scene, eventually

from exactly_once import Retryable, loop, pace, reading
from exactly_once.batch import Batch, Entry, Output, Partition, Positions, Record
from exactly_once.codec import Codec
from exactly_once.decide import Decider
from exactly_once.errors import FencedByGroup

ONE = Partition("parcels", 0)
FULL = 3


class Seen:
    """Which records were decoded, by offset, and decisions that wait until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: list[int] = []
        self.deciding: list[int] = []
        self.let_go = asyncio.Event()
        self.meanwhile: Callable[[], object] = lambda: None
        decode, decide = Codec.decode, Decider.decide

        def seen(codec: Codec, record: Record) -> Entry:
            self.decoded.append(record.offset)
            return decode(codec, record)

        async def waits(decider: Decider, batch: Batch, epochs: Positions) -> list[Output]:
            self.deciding.append(len(batch.entries))
            self.meanwhile()
            await self.let_go.wait()
            return await decide(decider, batch, epochs)

        monkeypatch.setattr(Codec, "decode", seen)
        monkeypatch.setattr(Decider, "decide", waits)


@pytest.fixture(autouse=True, params=[1, reading.AT_A_TIME], ids=["a record a poll", "all in a poll"])
def small_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AT_A_TIME", request.param)
    monkeypatch.setattr(loop, "MOST_RECORDS", FULL)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.02)
    monkeypatch.setattr(pace, "REST_PER_COST", 0.0)
    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 0.01)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


async def settled(scene: Scene, worker: loop.Loop) -> None:
    await eventually(lambda: worker.health() is None)


async def test_the_next_batch_is_read_while_a_full_one_is_decided_and_no_third_one(scene: Scene, seen: Seen) -> None:
    async with scene.looping() as worker:
        await settled(scene, worker)
        scene.put(*range(1, 3 * FULL + 1))
        await eventually(lambda: len(seen.decoded) == 2 * FULL)
        await asyncio.sleep(0.05)
        assert len(seen.decoded) == 2 * FULL
        assert seen.deciding == [FULL]
        seen.let_go.set()
        await scene.passed()
    assert seen.deciding == [FULL, FULL, FULL]
    assert seen.decoded == list(range(3 * FULL))
    assert await scene.priced() == list(range(1, 3 * FULL + 1))


@pytest.mark.parametrize("large", ["key", "value", "headers"])
async def test_a_batch_of_large_records_has_as_many_as_fit(
    scene: Scene, seen: Seen, monkeypatch: pytest.MonkeyPatch, large: str
) -> None:
    monkeypatch.setattr(loop, "MOST_RECORDS", 100)
    monkeypatch.setattr(reading, "MOST_BYTES", 20_000)
    monkeypatch.setattr(reading, "AT_FIRST", 2)
    seen.let_go.set()
    filling = b" " * 2_000
    async with scene.looping() as worker:
        await settled(scene, worker)
        for _ in range(25):
            key, value = (filling if large == "key" else b""), (filling if large == "value" else None)
            headers = (("filling", filling if large == "headers" else None), ("empty", None))
            scene.cluster.append("parcels", key, value, headers)
        await scene.passed()
    assert seen.deciding == [10, 10, 5]


async def test_records_of_no_size_at_all_pass(scene: Scene, seen: Seen) -> None:
    seen.let_go.set()
    async with scene.looping() as worker:
        await settled(scene, worker)
        for _ in range(FULL + 1):
            scene.cluster.append("parcels", None, None, ())
        await scene.passed()
    assert seen.deciding == [FULL, 1]


async def test_many_small_records_are_one_batch_however_many_are_read_at_a_time(
    scene: Scene, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MOST_RECORDS", 100)
    seen.let_go.set()
    async with scene.looping() as worker:
        await settled(scene, worker)
        scene.put(*range(1, 101), *range(1, 96))
        await scene.passed()
    assert seen.deciding == [100, 95]


async def test_nothing_is_read_while_a_batch_that_is_not_full_is_decided(scene: Scene, seen: Seen) -> None:
    async with scene.looping() as worker:
        await settled(scene, worker)
        seen.meanwhile = lambda: scene.put(2, 3)  # before anything that is read ahead would be
        scene.put(1)
        await eventually(lambda: seen.deciding == [1])
        seen.meanwhile = lambda: None
        await asyncio.sleep(0.05)
        assert seen.decoded == [0]
        seen.let_go.set()
        await scene.passed()
    assert await scene.priced() == [1, 2, 3]


async def test_nothing_is_read_while_a_call_is_under_way(scene: Scene, seen: Seen) -> None:
    class Scales:
        working = asyncio.Event()

    @scene.processor.calls(ParcelWeighed)
    async def weigh(parcel: ParcelWeighed, scales: Scales) -> int:
        await scales.working.wait()
        return parcel.grams

    seen.let_go.set()
    scales = Scales()
    async with scene.looping(resources=[scales]) as worker:
        await settled(scene, worker)
        scene.put(*range(1, 2 * FULL + 1))
        await eventually(lambda: len(seen.decoded) == FULL)
        await asyncio.sleep(0.05)
        assert len(seen.decoded) == FULL
        scales.working.set()
        await scene.passed()
    assert await scene.priced() == list(range(1, 2 * FULL + 1))


async def test_what_was_read_ahead_and_is_less_than_a_batch_waits_for_what_comes(scene: Scene, seen: Seen) -> None:
    async with scene.looping() as worker:
        await settled(scene, worker)
        scene.put(*range(1, FULL + 2))
        await eventually(lambda: len(seen.decoded) == FULL + 1)
        scene.put(5, 6)
        seen.let_go.set()
        await scene.passed()
    assert seen.deciding == [FULL, FULL]
    assert await scene.priced() == [1, 2, 3, 4, 5, 6]


async def test_what_cannot_be_read_ahead_is_noticed_once_the_batch_before_is_published(
    scene: Scene, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, is_away = Codec.learn, True

    async def learns(codec: Codec, records: Iterable[Record]) -> None:
        if is_away and any(record.offset >= FULL for record in records):
            raise Retryable("the registry does not answer")
        await learn(codec, records)

    monkeypatch.setattr(Codec, "learn", learns)
    async with scene.looping() as worker:
        await settled(scene, worker)
        scene.cluster.cost_s = 0.1
        scene.put(*range(1, FULL + 2))
        await eventually(lambda: seen.deciding == [FULL])
        await asyncio.sleep(0.02)
        assert worker.health() is None
        seen.let_go.set()
        await eventually(lambda: worker.health() == "the registry does not answer")
        assert [len(each.outputs) for each in scene.cluster.published if each.outputs] == [FULL]
        is_away = False
        await scene.passed()
    assert await scene.priced() == list(range(1, FULL + 2))


async def test_what_was_read_ahead_is_forgotten_with_the_batch_that_fails(
    scene: Scene, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = Decider.decide
    failures = [FencedByGroup("the partitions went elsewhere")]

    async def fails_once(decider: Decider, batch: Batch, epochs: Positions) -> list[Output]:
        outputs = await decide(decider, batch, epochs)
        if failures:
            raise failures.pop()
        return outputs

    monkeypatch.setattr(Decider, "decide", fails_once)
    async with scene.looping() as worker:
        await settled(scene, worker)
        scene.put(*range(1, 2 * FULL + 1))
        await eventually(lambda: len(seen.decoded) == 2 * FULL)
        seen.let_go.set()
        await scene.passed()
    assert seen.decoded == [*range(2 * FULL), *range(FULL, 2 * FULL)], "the second batch was read again"
    assert await scene.priced() == list(range(1, 2 * FULL + 1))
    assert not scene.cluster.behind(GROUP, ["parcels"])


@pytest.mark.parametrize(("end", "passed"), [("stop", FULL), ("cancel", 0)])
async def test_a_loop_that_ends_while_it_reads_ahead_leaves_nothing_running(
    scene: Scene, seen: Seen, monkeypatch: pytest.MonkeyPatch, end: str, passed: int
) -> None:
    learn = Codec.learn

    async def takes_long(codec: Codec, records: Iterable[Record]) -> None:
        records = list(records)
        if any(record.offset >= FULL for record in records):
            try:
                await asyncio.sleep(1_000)
            finally:
                await asyncio.sleep(0.05)  # a cancellation may take a while
        await learn(codec, records)

    monkeypatch.setattr(Codec, "learn", takes_long)
    worker = loop.Loop(scene.processor, engine=scene.engine, kafka=scene.cluster, codec=scene.codec)
    task = asyncio.create_task(worker.run())
    await settled(scene, worker)
    before = asyncio.all_tasks()
    scene.put(*range(1, FULL + 2))
    await eventually(lambda: seen.deciding == [FULL])
    await asyncio.sleep(0.02)
    if end == "stop":
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        seen.let_go.set()
        await stopping
    else:
        task.cancel()
    await asyncio.wait({task})
    assert asyncio.all_tasks() <= before
    assert worker.health() is None
    assert scene.cluster.committed() == {ONE: passed}
