"""What tells nobody anything moves positions too: PostgreSQL knows at once, Kafka with the next outputs or later."""

import asyncio
import time

import pytest
from shared.exactly_once.tests.memory.scene import ParcelLost, Scene, eventually, until_it_gathers
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import loop
from exactly_once.batch import Partition

ONE = Partition("parcels", 0)
FOR_EVER_S = 1_000.0


async def test_control_records_alone_are_not_worth_a_transaction_while_records_come(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SILENT_S", FOR_EVER_S)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.01)
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        scene.cluster.abort_something("parcels")
        for _ in range(3):
            await until_it_gathers(scene)
        assert scene.cluster.committed() == {ONE: 0}
        scene.put(1)
        await scene.passed()
        assert scene.cluster.committed() == {ONE: 3}
        transactions = len(scene.cluster.published)
        for _ in range(3):
            await until_it_gathers(scene)
        assert len(scene.cluster.published) == transactions, "nothing moved"
    assert scene.cluster.replaced == 1, "nothing to recover from"


async def test_control_records_alone_move_the_position_of_an_idle_loop(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SILENT_S", 0.0)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.01)
    async with scene.looping():
        scene.cluster.abort_something("parcels")
        await eventually(lambda: scene.cluster.committed() == {ONE: 2})
        transactions = len(scene.cluster.published)
        for _ in range(3):
            await until_it_gathers(scene)
        assert len(scene.cluster.published) == transactions, "nothing moves any more"
    assert await scene.ask("SELECT next_offset FROM owner") == 2


async def test_a_loop_is_idle_some_time_after_its_last_record(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SILENT_S", 0.4)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.01)
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        await asyncio.sleep(0.4)
        fed_at = time.monotonic()
        scene.put(1)
        await scene.passed()
        scene.cluster.abort_something("parcels")
        await eventually(lambda: scene.cluster.committed() == {ONE: 3})
        assert time.monotonic() - fed_at >= 0.4


@pytest.fixture
def silent_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SILENT_S", FOR_EVER_S)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.01)


async def decided_to(scene: Scene, offset: int) -> None:
    """Wait until PostgreSQL has passed what is below this offset."""

    async def is_there() -> bool:
        return bool(await scene.ask("SELECT next_offset FROM owner") == offset)

    await eventually(is_there)


@pytest.mark.usefixtures("silent_for_ever")
async def test_records_of_which_nothing_comes_are_passed_at_once_and_published_with_the_next_outputs(
    scene: Scene,
) -> None:
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        for offset in (1, 2):
            scene.append(ParcelLost(parcel_id="anna"))
            await decided_to(scene, offset)
        assert scene.cluster.committed() == {ONE: 0}
        transactions = len(scene.cluster.published)
        scene.put(1)
        await scene.passed()
        assert scene.cluster.committed() == {ONE: 3}
        assert len(scene.cluster.published) == transactions + 1
    assert await scene.priced() == [1]


async def test_records_of_which_nothing_comes_are_published_after_a_silence(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SILENT_S", 0.3)
    monkeypatch.setattr(loop, "IDLE_POLL_S", 0.01)
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        scene.put(1)
        await scene.passed()
        published_at, transactions = time.monotonic(), len(scene.cluster.published)
        scene.append(ParcelLost(parcel_id="anna"))
        await eventually(lambda: scene.cluster.committed() == {ONE: 2})
        assert time.monotonic() - published_at >= 0.2
        await asyncio.sleep(0.4)
        assert len(scene.cluster.published) == transactions + 1, "nothing moved again"


async def test_a_transaction_names_the_positions_that_moved_and_no_others(engine: AsyncEngine) -> None:
    scene = await Scene.open(engine, partitions=2)
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        scene.put(1)
        await scene.passed()
    (moved,) = [each.positions for each in scene.cluster.published if each.outputs]
    assert moved is not None
    assert list(moved.values()) == [1]


@pytest.mark.usefixtures("silent_for_ever")
async def test_a_loop_that_ends_owes_kafka_no_positions(scene: Scene) -> None:
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
        scene.append(ParcelLost(parcel_id="anna"))
        await decided_to(scene, 1)
    assert scene.cluster.committed() == {ONE: 1}
    transactions = len(scene.cluster.published)
    async with scene.looping() as worker:
        await eventually(lambda: worker.health() is None)
    assert len(scene.cluster.published) == transactions, "nothing to recover, and nothing owed"


@pytest.mark.usefixtures("silent_for_ever")
async def test_positions_that_kafka_was_never_told_are_no_loss_to_a_successor(scene: Scene) -> None:
    worker = loop.Loop(scene.processor, engine=scene.engine, kafka=scene.cluster, codec=scene.codec, prune_every_s=0.0)
    task = asyncio.create_task(worker.run())
    await eventually(lambda: worker.health() is None)
    scene.append(ParcelLost(parcel_id="anna"))
    await decided_to(scene, 1)
    for _ in range(3):
        await until_it_gathers(scene)  # and prunes before it
    task.cancel()
    await asyncio.wait({task})
    assert scene.cluster.committed() == {ONE: 0}
    async with scene.looping():
        scene.put(1)
        await scene.passed()
    assert await scene.priced() == [1]
