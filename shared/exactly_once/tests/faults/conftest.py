"""One lab for all faults: a fork server, a database, the witnesses."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from shared.exactly_once.tests.faults.kinds import census
from shared.exactly_once.tests.faults.scenes import Lab, Scene, a_lab

from exactly_once import KafkaSettings
from waybill.stack import Stack


@pytest.fixture(scope="session")
async def lab(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    async with asyncio.timeout(None), a_lab(stack, tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture(scope="session")
async def passed(lab: Lab) -> dict[str, set[str]]:
    """The points that each kind of process passes."""
    return await census(lab)


@pytest.fixture
async def scene(lab: Lab) -> AsyncIterator[Scene]:
    """Topics and tables of a test's own, without any input."""
    made = await Scene.set_up(lab, [])
    yield made
    await made.tear_down()


@pytest.fixture
def settings(scene: Scene) -> KafkaSettings:
    """How the scene's processes reach Kafka."""
    stack = scene.lab.stack
    return KafkaSettings(
        bootstrap=stack.kafka_bootstrap,
        user="operator",
        credential=stack.kafka_credential("operator"),
        ca_file=stack.kafka_ca,
        prefix=scene.prefix,
    )
