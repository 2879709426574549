"""Kafka takes only a part of a batch's outputs: it never ends in a commit, and goes on when the cause is mended."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from shared.exactly_once.tests.faults.scenes import inputs
from shared.exactly_once.tests.faults.tally import Row
from shared.exactly_once.tests.integration.clerk import a_clerk, configure, grant, may_write, revoke
from shared.exactly_once.tests.integration.stage import LETTERS, Stage, failures, named

from exactly_once import KafkaSettings, pace
from exactly_once.kafka import producer
from waybill.driver import Waybill
from waybill.patience import patiently

pytestmark = pytest.mark.integration

Eventually = Callable[..., Awaitable[None]]
ATTEMPTS = 3
PATIENCE_S = 120.0  # an attempt beside a broker that sleeps may take ten seconds
MINUTES = pytest.mark.nightly  # the broker that wakes up takes two to write the markers of what was aborted
MIN_ISR = "min.insync.replicas"
ANY_PORT = 18_000  # the stack that is there keeps its own


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "PUBLISH_DEADLINE_S", 2.0)
    monkeypatch.setattr(producer, "START_DEADLINE_S", 3.0)
    monkeypatch.setattr(pace, "LONGEST_BACKOFF_S", 1.0)


@pytest.fixture
async def clerk(stage: Stage) -> AsyncIterator[KafkaSettings]:
    async with a_clerk(stage) as settings:
        yield settings


def attempts() -> float:
    """How often it has failed: a publish, or the next producer, which waits for the markers of what is aborted."""
    return failures("PublishFailed") + failures("Retryable")


async def nothing_moves(stage: Stage, eventually: Eventually, failed: float) -> None:
    """See an attempt fail, and then nothing move while some more fail."""
    await eventually(lambda: attempts() > failed, PATIENCE_S)
    before = await what_is_seen(stage)
    await eventually(lambda: attempts() > failed + ATTEMPTS, PATIENCE_S)
    assert await what_is_seen(stage) == before


async def what_is_seen(stage: Stage) -> tuple[object, ...]:
    """The offsets, the outputs and the letters; the loop goes on meanwhile."""
    asked = stage.committed, stage.outputs, stage.letters
    return tuple([await asyncio.to_thread(each) for each in asked])


async def test_a_record_larger_than_its_topic_takes_is_waited_for(stage: Stage, eventually: Eventually) -> None:
    async with stage.running():
        await stage.put(*named("before", inputs(12)))
        await stage.at_rest()
        failed = attempts()
        await configure(stage, stage.name("totalled"), "max.message.bytes", "2500")
        large = Row(secrets.token_urlsafe(1_950), 20, "large")  # 2,600 characters, which do not compress
        await stage.put(large, *named("behind", inputs(12, seed=2)))
        await nothing_moves(stage, eventually, failed)
        await configure(stage, stage.name("totalled"), "max.message.bytes", "1000000")
        await stage.at_rest()
    assert await stage.verdict() == []


@pytest.mark.parametrize("stage", [3], indirect=True)
async def test_a_topic_with_too_few_replicas_is_waited_for(stage: Stage, eventually: Eventually) -> None:
    """With a broker asleep. A topic with fewer replicas than it asks for would not do: Kafka then asks for those."""
    await what_has_too_few_replicas_is_waited_for(stage, eventually, stage.name("totalled"))


@pytest.mark.parametrize("stage", [3], indirect=True)
@pytest.mark.parametrize("log", ["__transaction_state", pytest.param("__consumer_offsets", marks=MINUTES)])
async def test_a_log_of_kafkas_own_with_too_few_replicas_is_waited_for(
    stage: Stage, eventually: Eventually, log: str
) -> None:
    try:
        await what_has_too_few_replicas_is_waited_for(stage, eventually, log)
    finally:
        await configure(stage, log, MIN_ISR, "2")


async def what_has_too_few_replicas_is_waited_for(stage: Stage, eventually: Eventually, topic: str) -> None:
    async with stage.running():
        await stage.put(*named("before", inputs(12)))
        await stage.at_rest()
        await configure(stage, topic, MIN_ISR, "3")
        async with without_a_broker(stage):
            await eventually(lambda: in_sync(stage, topic) == {2}, PATIENCE_S)
            failed = attempts()
            await stage.put(*named("behind", inputs(12, seed=2)))
            await nothing_moves(stage, eventually, failed)
        await stage.at_rest()
    assert await stage.verdict() == []


def in_sync(stage: Stage, topic: str) -> set[int]:
    """How many replicas of a topic's partitions are in sync."""
    found = patiently(lambda: stage.admin.list_topics(topic, timeout=6))
    return {len(each.isrs) for each in found.topics[topic].partitions.values()}


@asynccontextmanager
async def without_a_broker(stage: Stage) -> AsyncIterator[None]:
    """Let a broker sleep for the length of the block; the others soon go on without it."""
    status = await asyncio.to_thread(Waybill(stage.stack.home, ANY_PORT), "status", "--json")
    pid = next(each["pid"] for each in status.data["processes"] if each["name"] == "kafka-3")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("topic", ["totalled", LETTERS])
async def test_a_topic_that_may_no_longer_be_written_to_is_waited_for(
    stage: Stage, eventually: Eventually, clerk: KafkaSettings, topic: str
) -> None:
    async with stage.running(settings=clerk):
        await stage.put(*named("before", inputs(12)))
        await stage.at_rest()
        failed = attempts()
        await revoke(stage, [may_write(stage, clerk, topic)])
        await stage.put(*named("behind", inputs(12, seed=2)))
        await nothing_moves(stage, eventually, failed)
        await grant(stage, [may_write(stage, clerk, topic)])
        await stage.at_rest()
    assert await stage.verdict() == []
