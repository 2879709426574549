from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from asgi_lifespan import LifespanManager

from letters.app import create_letters
from letters.settings import Settings
from waybill.local import shop
from waybill.stack import Stack
from waybill.token.signing import Signer

Opened = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="module")
def open_letters(namespaced_stack: Stack) -> Opened:
    """Start the letters' service, as a process would, and yield a client of it."""
    environment = shop.environment(namespaced_stack, "letters", "1", 23_140)
    given = {name.removeprefix("WAYBILL_").lower(): value for name, value in environment.items()}

    @asynccontextmanager
    async def opened(**changes: object) -> AsyncIterator[httpx.AsyncClient]:
        app = create_letters(Settings.model_validate(given | changes))
        async with LifespanManager(app, startup_timeout=30, shutdown_timeout=10) as manager:
            transport = httpx.ASGITransport(app=manager.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://letters") as client:
                yield client

    return opened


@pytest.fixture(scope="module")
def signer(namespaced_stack: Stack) -> Signer:
    return Signer(namespaced_stack)


@pytest.fixture
async def letters(open_letters: Opened, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    async with open_letters() as client:
        client.headers["Authorization"] = f"Bearer {signer.operator()}"
        yield client
