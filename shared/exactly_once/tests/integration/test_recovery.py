"""After any failure Kafka catches up with what PostgreSQL decided, neither too little nor twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition  # noqa: TID251  # it alters
from shared.exactly_once.tests.faults.scenes import inputs
from shared.exactly_once.tests.faults.tally import NAME, Row
from shared.exactly_once.tests.integration.member import a_member
from shared.exactly_once.tests.integration.stage import (
    DEADLINE_S,
    Stage,
    failures,
    named,
    republished,
    rows,
    settled,
)
from shared.exactly_once.tests.integration.wire import END_TXN, Wire
from sqlalchemy import event, text
from sqlalchemy.util import await_only

from exactly_once import loop as loop_module
from exactly_once.batch import Partition
from exactly_once.errors import PublishFailed
from exactly_once.inbox import Inbox
from exactly_once.kafka import producer
from exactly_once.kafka.requests import StableOffsetFetch

pytestmark = pytest.mark.integration

STAYS_S = 1.0
Eventually = Callable[..., Awaitable[None]]


async def test_only_what_is_behind_is_published_and_what_is_not_stays_as_it_is(stage: Stage) -> None:
    await stage.put(*inputs(30))
    async with a_member(stage) as member:
        ownership = await member.recover()
        outputs, batch = await member.decide(ownership, 20)
        place = Partition("added", 0)
        ahead = [output for output in outputs if output.source == place]
        assert 0 < len(ahead) < len(outputs)
        await member.producer.publish(ahead, {place: batch.end[place]}, member.membership)
        before = republished()
        assert (await member.recover()).positions == ownership.positions | batch.end
        assert republished() - before == len(outputs) - len(ahead)
        await member.recover()  # everything is where it should be
        assert republished() - before == len(outputs) - len(ahead)
    async with stage.running():
        await stage.at_rest()
    assert await stage.verdict() == []


@pytest.mark.parametrize("sizes", [(8, 3), (3, 8), (1, 20)])
async def test_batches_that_fall_otherwise_after_each_death_change_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
) -> None:
    await stage.put(*inputs(40))
    for size in sizes:
        async with a_member(stage) as member:
            ownership = await member.recover()
            _, batch = await member.decide(ownership, size)  # decided, and never published
            after = type(ownership)(ownership.positions | batch.end, ownership.epochs)
            await member.poll(after, size + 1)  # taken over, and never decided
    monkeypatch.setattr(loop_module, "MOST_RECORDS", sizes[0] + sizes[1])
    async with stage.running():
        await stage.at_rest()
    assert await stage.verdict() == []


async def test_a_recovery_waits_for_a_predecessors_pending_commit_and_publishes_nothing_twice(
    stage: Stage, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "TRANSACTION_TIMEOUT_MS", 60_000)
    late = await with_a_commit_under_way(stage, wire)
    async with a_member(stage, "2") as successor:
        before = republished()
        recovering = asyncio.create_task(successor.recover())
        done, _ = await asyncio.wait({recovering}, timeout=2.0)
        assert not done
        assert (await late.release()).error_code == 0
        await asyncio.wait_for(recovering, DEADLINE_S)
        assert republished() == before
    assert await stage.verdict() == []


async def test_without_asking_for_stable_offsets_a_recovery_publishes_what_a_pending_commit_publishes_too(
    stage: Stage, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = StableOffsetFetch.build

    def whatever_is_committed(asked: StableOffsetFetch, struct: Any) -> Any:
        return build(asked, lambda group, topics, _, tags: struct(group, topics, False, tags))  # type: ignore[arg-type]  # noqa: FBT003

    monkeypatch.setattr(producer, "TRANSACTION_TIMEOUT_MS", 60_000)
    monkeypatch.setattr(StableOffsetFetch, "build", whatever_is_committed)
    late = await with_a_commit_under_way(stage, wire)
    async with a_member(stage, "2") as successor:
        before = republished()
        recovering = asyncio.create_task(successor.recover())
        async with asyncio.timeout(DEADLINE_S):
            while not await asyncio.to_thread(more_than_sent, stage):
                continue
        assert (await late.release()).error_code == 0
        await asyncio.wait_for(recovering, DEADLINE_S)
        assert republished() == before + 3
    assert stage.keys() == [b"anna"] * 6


async def with_a_commit_under_way(stage: Stage, wire: Wire) -> Any:
    """Let a member decide three inputs and leave, while its commit is on the way to the broker."""
    await stage.put(*rows(["1", "2", "3"]))
    async with a_member(stage, "1") as member:
        outputs, batch = await member.decide(await member.recover(), 3)
        late = wire.hold(END_TXN)
        with pytest.raises(PublishFailed, match="EndTxnRequest to broker"):
            await member.producer.publish(outputs, batch.end, member.membership)
    return late


def more_than_sent(stage: Stage) -> bool:
    """Tell whether more is written than the three outputs of the first transaction."""
    _, written = stage.both_ends("totalled")
    return sum(written.values()) >= 6


async def test_an_owner_overtaken_by_one_that_wakes_up_gets_its_place_back(
    stage: Stage, eventually: Eventually
) -> None:
    async with stage.running() as loop:
        for turn in range(3):
            await stage.put(*named(turn, inputs(12, seed=turn)))
            await stage.at_rest()
            fenced = failures("Fenced")
            async with stage.engine.begin() as connection:
                await Inbox(NAME).bump(connection, [Partition("added", number) for number in (0, 1)])
            await stage.put(*named(turn + 10, inputs(12, seed=turn + 10)))
            await stage.at_rest()
            assert failures("Fenced") > fenced
        await eventually(lambda: loop.health() is None)
    assert await stage.verdict() == []


@pytest.mark.parametrize("took_effect", [True, False])
async def test_an_answer_to_postgresqls_commit_that_is_lost_is_found_out(stage: Stage, took_effect: bool) -> None:  # noqa: FBT001  # a parameter
    cut: list[bool] = []

    def cut_once(connection: Any) -> None:
        if cut:
            driver = connection.connection.driver_connection
            if cut.pop():
                await_only(driver.execute("COMMIT"))
            driver.terminate()

    event.listen(stage.engine.sync_engine, "commit", cut_once)
    async with stage.running():
        for turn in range(3):
            await stage.put(*named(turn, inputs(6, seed=turn)))
            await stage.at_rest()
            retried = failures("Retryable")
            cut.append(took_effect)
            await stage.put(*named(turn + 10, inputs(12, seed=turn + 10)))
            await stage.at_rest()
            assert failures("Retryable") > retried
    assert await stage.verdict() == []


async def test_a_recovery_waits_for_a_database_commit_that_is_under_way(stage: Stage) -> None:
    await stage.put(*rows(["1", "2", "3"]))
    committing, gate = asyncio.Event(), asyncio.Event()

    def wait(_: Any) -> None:
        if not committing.is_set():
            committing.set()
            await_only(gate.wait())

    async with a_member(stage, "1") as member:
        ownership = await member.recover()
        event.listen(stage.engine.sync_engine, "commit", wait)
        deciding = asyncio.create_task(member.decide(ownership, 3))
        await asyncio.wait_for(committing.wait(), DEADLINE_S)
        before = republished()
        recovering = asyncio.create_task(member.recover())
        done, _ = await asyncio.wait({recovering}, timeout=1.5)
        assert not done
        gate.set()
        _, batch = await deciding
        recovered = await recovering
        assert recovered.positions == ownership.positions | batch.end
        assert republished() == before + 3
    assert await stage.verdict() == []


async def test_a_database_without_positions_stops_with_a_sentence(stage: Stage, eventually: Eventually) -> None:
    await worked_off(stage, inputs(12))
    async with stage.engine.begin() as connection:
        await connection.execute(text("DELETE FROM owner"))
    await stops_with(stage, eventually, "PostgreSQL has no position of added/0, added/1, but Kafka has")


async def test_offsets_that_kafka_lost_stop_with_a_sentence_when_their_outputs_are_gone(
    stage: Stage, eventually: Eventually
) -> None:
    await worked_off(stage, inputs(12))
    async with stage.engine.begin() as connection:
        await connection.execute(text("UPDATE owner SET pruned_to = next_offset"))
        await connection.execute(text("DELETE FROM outputs"))
    places = [TopicPartition(stage.name("added"), number, 1) for number in (0, 1)]
    await settled(stage.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(stage.name(NAME), places)]))
    await stops_with(stage, eventually, "Kafka lost commits")


async def worked_off(stage: Stage, found: list[Row]) -> None:
    await stage.put(*found)
    async with stage.running():
        await stage.at_rest()


async def stops_with(stage: Stage, eventually: Eventually, sentence: str) -> None:
    """Start a loop, and see it stop for good: what comes now is not processed."""
    before = stage.outputs()
    async with stage.running() as loop:
        await eventually(lambda: sentence in (loop.health() or ""))
        await stage.put(*rows(["more"]))
        await asyncio.sleep(STAYS_S)  # nothing shall happen
        assert sentence in (loop.health() or "")
    assert stage.outputs() == before
