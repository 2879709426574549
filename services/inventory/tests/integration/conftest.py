"""Inventory on the real stack: its database, and the service as a process runs it."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from asgi_lifespan import LifespanManager
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import chassis
from chassis.migrate import MigrationSettings, migrate
from contracts import ExpireReservation, ProductListed
from inventory.api import router
from inventory.handlers import processor
from inventory.settings import Settings
from inventory.sweeps import expiry
from waybill.local import shop
from waybill.stack import Stack
from waybill.token.signing import Signer

TTL_S = 900.0


@pytest.fixture(scope="module")
def migrated(namespaced_stack: Stack) -> Stack:
    prefix = "WAYBILL_POSTGRES_"
    environment = shop.migration_environment(namespaced_stack, "inventory")
    given = {name.removeprefix(prefix).lower(): value for name, value in environment.items() if prefix in name}
    for _ in range(2):  # the second time changes nothing
        migrate("inventory", MigrationSettings.model_validate(given))
    return namespaced_stack


@pytest.fixture
async def engine(migrated: Stack) -> AsyncIterator[AsyncEngine]:
    """An engine on inventory's own database, in inventory's own role."""
    dsn = migrated.postgres_dsn("inventory", "inventory")
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(migrated: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A connection to inventory's database in inventory's own role."""
    connection = await asyncpg.connect(migrated.postgres_dsn("inventory", "inventory"))
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def signer(migrated: Stack) -> Signer:
    return Signer(migrated)


@pytest.fixture(scope="module")
async def inventory(migrated: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """Inventory as its process runs it, with its loop, its relay and its sweep; a client of it."""
    environment = shop.environment(migrated, "inventory", "1", 23_110)
    given = {name.removeprefix("WAYBILL_").lower(): value for name, value in environment.items()}
    app = chassis.create_app(
        Settings.model_validate(given),
        processor=processor,
        routers=[router],
        publishes=[ProductListed, ExpireReservation],
        sweeps=[expiry(TTL_S)],
    )
    async with LifespanManager(app, startup_timeout=30, shutdown_timeout=10) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inventory") as client:
            yield client
