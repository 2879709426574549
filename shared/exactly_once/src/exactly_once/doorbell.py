"""Hears PostgreSQL's NOTIFY on a connection of its own: a hint that saves waiting, never a thing to rely on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog
from sqlalchemy import URL

PATIENCE_S = 5.0
ASK_EVERY_S = 10.0  # a connection that is half open hears nothing and says nothing
RECONNECT_S = 1.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def listening(url: URL, channel: str, heard: Callable[[], None]) -> AsyncIterator[None]:
    """Within the block call `heard` at each NOTIFY of a channel, and after each time that we may have missed one."""
    task = asyncio.create_task(_listen(url, channel, heard))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _listen(url: URL, channel: str, heard: Callable[[], None]) -> None:
    while True:
        try:
            await _listen_until_lost(url, channel, heard)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            log.info("doorbell.deaf", channel=channel, why=repr(error))
        await asyncio.sleep(RECONNECT_S)


async def _listen_until_lost(url: URL, channel: str, heard: Callable[[], None]) -> None:
    connection = await asyncpg.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        database=url.database,
        timeout=PATIENCE_S,
        command_timeout=PATIENCE_S,
        server_settings={"application_name": f"{channel}-doorbell"},
    )
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    try:
        await connection.add_listener(channel, lambda *_: heard())
        heard()
        while not lost.is_set():
            await _wait(lost, ASK_EVERY_S)
            await connection.execute("SELECT 1")
    finally:
        connection.terminate()


async def _wait(event: asyncio.Event, patience_s: float) -> Any:
    try:
        async with asyncio.timeout(patience_s):
            await event.wait()
    except TimeoutError:
        return
