"""A worker goes on after every failure that may pass, and stops when it is told to."""

import asyncio

import pytest

from exactly_once.worker import Worker


class Failing(Worker):
    """Fails once with what it is given, then works until it is stopped."""

    def __init__(self, failure: BaseException | None) -> None:
        super().__init__("failing")
        self._failure = failure
        self.works, self.closed = asyncio.Event(), False

    async def _work(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self.works.set()
        await asyncio.Event().wait()

    async def _close(self) -> None:
        self.closed = True


async def test_a_task_that_is_cancelled_within_the_kafka_client_does_not_end_the_worker() -> None:
    worker = Failing(asyncio.CancelledError())
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(5):
        await worker.works.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert worker.closed
