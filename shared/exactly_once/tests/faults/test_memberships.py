"""A member that its group dropped comes back, whatever it was dropped for."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from shared.exactly_once.tests.faults.scenes import PHASE_S
from shared.exactly_once.tests.faults.tally import NAME

from exactly_once import KafkaSettings
from exactly_once.kafka.consumer import GroupConsumer

pytestmark = pytest.mark.integration


@pytest.fixture
async def consumer(settings: KafkaSettings) -> AsyncIterator[GroupConsumer]:
    made = GroupConsumer(settings, NAME, ["added"])
    await made.ensure()
    yield made
    await made.stop()


async def test_a_member_that_could_not_poll_for_long_is_assigned_again_as_soon_as_it_asks(
    consumer: GroupConsumer,
) -> None:
    first = await consumer.membership(PHASE_S)
    assert first is not None
    consumer._consumer._coordinator._max_poll_interval = 0.1  # as five minutes without a database
    async with asyncio.timeout(PHASE_S):
        while consumer.holds(first):
            await asyncio.sleep(0.05)
    again = await consumer.membership(20.0)
    assert again is not None
    assert again.partitions == first.partitions
