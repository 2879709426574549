from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from asgi_lifespan import LifespanManager
from services.checkout.tests.integration.ready import Opened, until_ready

import chassis
from chassis.migrate import MigrationSettings, migrate
from checkout import api, reads
from checkout.handlers import processor
from checkout.prices import RememberedPrices
from checkout.queue import queues
from checkout.settings import Settings
from contracts import OrderCancelled, OrderPlaced
from waybill.local import shop
from waybill.stack import Stack
from waybill.token.signing import Signer


@pytest.fixture(scope="module")
def migrated(namespaced_stack: Stack) -> Stack:
    prefix = "WAYBILL_POSTGRES_"
    environment = shop.migration_environment(namespaced_stack, "checkout")
    given = {name.removeprefix(prefix).lower(): value for name, value in environment.items() if prefix in name}
    for _ in range(2):  # the second time changes nothing
        migrate("checkout", MigrationSettings.model_validate(given))
    return namespaced_stack


@pytest.fixture(scope="module")
def open_checkout(migrated: Stack) -> Opened:
    """Start a checkout of its own, as a process would, and yield a client of it."""
    environment = shop.environment(migrated, "checkout", "1", 23_100)
    given = {name.removeprefix("WAYBILL_").lower(): value for name, value in environment.items()}

    @asynccontextmanager
    async def opened(**changes: object) -> AsyncIterator[httpx.AsyncClient]:
        settings = Settings.model_validate(given | changes)
        app = chassis.create_app(
            settings,
            processor=processor,
            routers=[api.router, reads.router],
            publishes=[OrderPlaced, OrderCancelled],
            queues=queues(settings.orders_most_ahead),
            state={"prices": RememberedPrices()},
        )
        async with LifespanManager(app, startup_timeout=30, shutdown_timeout=10) as manager:
            transport = httpx.ASGITransport(app=manager.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://checkout") as client:
                yield client

    return opened


@pytest.fixture(scope="module")
def signer(migrated: Stack) -> Signer:
    return Signer(migrated)


@pytest.fixture
def order(signer: Signer) -> Callable[..., Awaitable[httpx.Response]]:
    """Order a cup, or something else, under a key."""

    async def order(client: httpx.AsyncClient, key: str, *, customer: str = "anna", sku: str = "cup") -> httpx.Response:
        headers = {"Authorization": f"Bearer {signer.customer(customer)}", "Idempotency-Key": key}
        body = {"lines": [{"sku": sku, "quantity": 1}], "payment_token": "tok_ok"}
        return await client.post("/v1/orders", headers=headers, json=body)

    return order


@pytest.fixture
async def connection(migrated: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A connection to checkout's database in checkout's own role."""
    connection = await asyncpg.connect(migrated.postgres_dsn("checkout", "checkout"))
    await connection.execute(
        "INSERT INTO products VALUES ('cup', 'A cup', 250, 'EUR'), ('pot', 'A pot', 1999, 'EUR'), "
        "('usd', 'Priced in dollars', 1, 'USD') ON CONFLICT DO NOTHING"
    )
    yield connection
    await connection.close()


@pytest.fixture
async def checkout(open_checkout: Opened, connection: asyncpg.Connection) -> AsyncIterator[httpx.AsyncClient]:
    async with open_checkout() as client:
        await until_ready(client)
        yield client
