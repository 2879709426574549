"""How long a worker waits."""

import asyncio

from exactly_once.pace import Backoff


async def test_hours_of_failures_do_not_overflow_the_backoff() -> None:
    backoff = Backoff()
    backoff.failures = 5_000
    over = asyncio.Event()
    over.set()
    await backoff.wait(over)
    assert backoff.failures == 5_001
