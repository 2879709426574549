"""A checkout that is opened for a test, and the wait until it serves."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx

PATIENCE_S = 60.0

Opened = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


async def until_ready(client: httpx.AsyncClient) -> None:
    """Wait until a checkout says that it is ready."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := await client.get("/health/ready")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.1)
