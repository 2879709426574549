"""Kafka takes only a part of a batch's outputs: it never ends in a commit, and goes on when the cause is mended."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from shared.exactly_once.tests.faults.scenes import inputs
from shared.exactly_once.tests.faults.tally import Row
from shared.exactly_once.tests.integration.clerk import a_clerk, configure, grant, may_write, revoke
from shared.exactly_once.tests.integration.stage import LETTERS, Stage, failures, named

from exactly_once import KafkaSettings
from exactly_once.kafka import producer

pytestmark = pytest.mark.integration

Eventually = Callable[..., Awaitable[None]]
ATTEMPTS = 3


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "PUBLISH_DEADLINE_S", 2.0)


@pytest.fixture
async def clerk(stage: Stage) -> AsyncIterator[KafkaSettings]:
    async with a_clerk(stage) as settings:
        yield settings


async def nothing_moves(stage: Stage, eventually: Eventually) -> None:
    """See several attempts fail, and nothing of any of them."""
    before = stage.committed(), stage.outputs(), stage.letters()
    failed = failures("PublishFailed")
    await eventually(lambda: failures("PublishFailed") >= failed + ATTEMPTS)
    assert (stage.committed(), stage.outputs(), stage.letters()) == before


async def test_a_record_larger_than_its_topic_takes_is_waited_for(stage: Stage, eventually: Eventually) -> None:
    async with stage.running():
        await stage.put(*named("before", inputs(12)))
        await stage.at_rest()
        await configure(stage, "totalled", "max.message.bytes", "2500")
        large = Row(secrets.token_urlsafe(1_950), 20, "large")  # 2,600 characters, which do not compress
        await stage.put(large, *named("behind", inputs(12, seed=2)))
        await nothing_moves(stage, eventually)
        await configure(stage, "totalled", "max.message.bytes", "1000000")
        await stage.at_rest()
    assert await stage.verdict() == []


@pytest.mark.parametrize("topic", ["totalled", LETTERS])
async def test_a_topic_below_its_least_replicas_is_waited_for(stage: Stage, eventually: Eventually, topic: str) -> None:
    async with stage.running():
        await stage.put(*named("before", inputs(12)))
        await stage.at_rest()
        await configure(stage, topic, "min.insync.replicas", "2")  # it has one
        await stage.put(*named("behind", inputs(12, seed=2)))
        await nothing_moves(stage, eventually)
        await configure(stage, topic, "min.insync.replicas", "1")
        await stage.at_rest()
    assert await stage.verdict() == []


@pytest.mark.parametrize("topic", ["totalled", LETTERS])
async def test_a_topic_that_may_no_longer_be_written_to_is_waited_for(
    stage: Stage, eventually: Eventually, clerk: KafkaSettings, topic: str
) -> None:
    async with stage.running(settings=clerk):
        await stage.put(*named("before", inputs(12)))
        await stage.at_rest()
        await revoke(stage, [may_write(stage, clerk, topic)])
        await stage.put(*named("behind", inputs(12, seed=2)))
        await nothing_moves(stage, eventually)
        await grant(stage, [may_write(stage, clerk, topic)])
        await stage.at_rest()
    assert await stage.verdict() == []
