from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from waybill.stack import Stack


@pytest.fixture
async def engine(namespaced_stack: Stack) -> AsyncIterator[AsyncEngine]:
    """An engine on accounting's own database, in accounting's own role."""
    dsn = namespaced_stack.postgres_dsn("accounting", "accounting")
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
    yield engine
    await engine.dispose()
