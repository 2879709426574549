"""What the loop and the relay share: run until stopped, tell why not healthy, survive every failure that may pass."""

import asyncio
from abc import ABC, abstractmethod

import structlog

from exactly_once import telemetry
from exactly_once.errors import ExactlyOnceError, FencedByGroup, Halted
from exactly_once.pace import Backoff, Pace

STOP_DEADLINE_S = 3.0

log = structlog.get_logger(__name__)


class Worker(ABC):
    """Works until `stop`; a failure's type says how it goes on (errors.py)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pace, self._backoff = Pace(), Backoff()
        self._stopping = asyncio.Event()
        self._why: str | None = "it has not started"
        self._task: asyncio.Task[None] | None = None

    def health(self) -> str | None:
        """Return why this worker does not do its work, None when it does."""
        return self._why

    async def run(self) -> None:
        """Work until `stop`."""
        self._task = asyncio.current_task()
        try:
            while not self._stopping.is_set():
                await self._work_until_failure()
        finally:
            await self._close()

    async def stop(self) -> None:
        """Let what is under way end. What does not end in time is cut off: recovery mends it."""
        self._stopping.set()
        if self._task is not None:
            _, running = await asyncio.wait({self._task}, timeout=STOP_DEADLINE_S)
            for task in running:
                task.cancel()
            await asyncio.wait({self._task})

    @abstractmethod
    async def _work(self) -> None:
        """Work until there is a reason to start anew, or fail."""

    @abstractmethod
    async def _close(self) -> None:
        """Give everything back."""

    async def _work_until_failure(self) -> None:
        try:
            await self._work()
        except FencedByGroup as error:  # nothing to do until the next assignment
            self._failed(error)
        except Halted as error:
            self._failed(error)
            await self._stopping.wait()
        except ExactlyOnceError as error:
            self._failed(error)
            await self._backoff.wait(self._stopping)
        except asyncio.CancelledError as error:  # aiokafka's own tasks raise it too, in whoever closes them
            if self._task is not None and self._task.cancelling():
                raise
            self._failed(error)
            await self._backoff.wait(self._stopping)
        except Exception as error:  # a bug of this library: going on could lose something
            self._failed(error)
            log.exception("worker.bug", name=self._name)
            await self._stopping.wait()

    def _failed(self, error: BaseException) -> None:
        self._why = str(error) or repr(error)
        telemetry.FAILURES.labels(self._name, type(error).__name__).inc()
        log.warning("worker.failed", name=self._name, kind=type(error).__name__, why=self._why)
