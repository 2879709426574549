"""Closes aiokafka's clients without waiting for what need not be waited for."""

import asyncio
from collections.abc import Coroutine
from typing import Any

CLOSE_DEADLINE_S = 2.0

late: set[asyncio.Task[Any]] = set()  # asyncio itself keeps weak references only


async def closed(closing: Coroutine[Any, Any, Any], deadline_s: float = CLOSE_DEADLINE_S) -> bool:
    """Wait for a client's own stop() or close(); tell whether it went well within the deadline.

    It runs in a task of its own: after a failure a producer's stop() also raises CancelledError, which would end the
    caller in silence; and a TLS connection with a fetch under way has been seen to wait 30 s for the broker's farewell.
    What is late goes on by itself.
    """
    task = asyncio.create_task(closing)
    late.add(task)
    task.add_done_callback(_forget)
    await asyncio.wait({task}, timeout=deadline_s)
    return task.done() and not task.cancelled() and task.exception() is None


def _forget(task: asyncio.Task[Any]) -> None:
    late.discard(task)
    if not task.cancelled():
        task.exception()  # seen, so that asyncio does not report it as forgotten
