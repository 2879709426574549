"""The loop, the recovery and the relay on a broker in memory and a PostgreSQL of their own: fast, and no stack."""

from collections.abc import AsyncIterator

import pytest
from shared.exactly_once.tests.memory.scene import Scene
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once.testing import temporary_database


@pytest.fixture(scope="session")
async def engine(postgres: str) -> AsyncIterator[AsyncEngine]:
    async with temporary_database(postgres) as engine:
        yield engine


@pytest.fixture
async def scene(engine: AsyncEngine) -> Scene:
    return await Scene.open(engine)
