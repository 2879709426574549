"""Who starts beside the migrations waits until the database is as new as its code, with no right but its own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis.migrated import lacks
from waybill.local.shop import environment, migration_environment
from waybill.stack import Stack

pytestmark = pytest.mark.integration

SERVICE = "fulfillment"
DEADLINE_S = 60


def engine_of(stack: Stack, role: str) -> AsyncEngine:
    return create_async_engine(stack.postgres_dsn(SERVICE, role).replace("postgresql://", "postgresql+asyncpg://", 1))


@pytest.fixture
async def service(namespaced_stack: Stack) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(namespaced_stack, SERVICE)
    yield engine
    await engine.dispose()


async def as_operator(stack: Stack, statement: str) -> None:
    engine = engine_of(stack, "operator")
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@contextmanager
def waiting(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    told = environment(stack, SERVICE, "1", 1)
    command = [sys.executable, "-m", "chassis.migrated", SERVICE]
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def migrate(stack: Stack) -> None:
    command = [sys.executable, "-m", "chassis.migrate", SERVICE]
    subprocess.run(command, env=migration_environment(stack, SERVICE), check=True)


async def test_who_starts_beside_the_migrations_waits_for_them(namespaced_stack: Stack, service: AsyncEngine) -> None:
    with waiting(namespaced_stack) as process:
        assert process.stdout is not None
        assert "it is at migration none, not yet at 0002" in process.stdout.readline()
        await asyncio.to_thread(migrate, namespaced_stack)
        assert process.wait(DEADLINE_S) == 0
    assert await lacks(service, SERVICE) is None

    await as_operator(namespaced_stack, "ALTER TABLE claims RENAME COLUMN claimed_at TO renamed")
    assert await lacks(service, SERVICE) == "it lacks claims.claimed_at"
    await as_operator(namespaced_stack, "ALTER TABLE claims RENAME COLUMN renamed TO claimed_at")

    await as_operator(namespaced_stack, "UPDATE alembic_version SET version_num = '0001'")
    assert await lacks(service, SERVICE) == "it is at migration 0001, not yet at 0002"
    await as_operator(namespaced_stack, "UPDATE alembic_version SET version_num = 'of-tomorrow'")
    assert await lacks(service, SERVICE) is None


async def test_a_wait_ends_at_once_when_it_is_told_to(namespaced_stack: Stack) -> None:
    nobody_there = namespaced_stack.model_copy(update={"postgres_port": 1})
    with waiting(nobody_there) as process:
        assert process.stdout is not None
        assert "it does not answer" in process.stdout.readline()
        process.terminate()
        assert process.wait(DEADLINE_S) == 143
