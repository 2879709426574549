"""Accounting's own database on the real stack, migrated by the operator."""

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from waybill.local.shop import migration_environment
from waybill.stack import Stack


@pytest.fixture(scope="module")
def migrated_stack(namespaced_stack: Stack) -> Stack:
    environment = migration_environment(namespaced_stack, "accounting")
    subprocess.run([sys.executable, "-m", "chassis.migrate", "accounting"], env=environment, check=True)
    return namespaced_stack


@pytest.fixture
async def engine(migrated_stack: Stack) -> AsyncIterator[AsyncEngine]:
    """An engine on accounting's own database, in accounting's own role."""
    dsn = migrated_stack.postgres_dsn("accounting", "accounting")
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
    yield engine
    await engine.dispose()
