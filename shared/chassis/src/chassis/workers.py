"""What works behind the requests: the start, the loop, the relay; each says why it is not ready."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import structlog

from exactly_once import Halted, NotPermitted, Retryable

RETRY_EVERY_S = 0.5
SETTLE_S = 2.0  # what was granted a moment ago reaches each broker a little later
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Worker(Protocol):
    """A loop or a relay."""

    async def run(self) -> None:
        """Work until `stop`."""
        ...

    async def stop(self) -> None:
        """End, in bounded time."""
        ...

    def health(self) -> str | None:
        """Return why it does not work, None when it does."""
        ...


class Start:
    """The start itself: patient with what is not there yet, clear about what it waits for."""

    def __init__(self, refused: Callable[[], None] | None = None) -> None:
        """Prepare; `refused` ends the process, once it is clear that it may not do its work."""
        self._refused = refused
        self._why: str | None = "it has not started yet"
        self._task: asyncio.Task[None] | None = None

    def health(self) -> str | None:
        """Return what the start waits for or failed at, None when it is through."""
        return self._why

    def launch(self, starting: Coroutine[Any, Any, None]) -> None:
        """Run the start beside the requests."""
        self._task = asyncio.create_task(self._watch(starting))

    async def end(self) -> None:
        """Give up a start that is still under way."""
        if self._task is not None:
            self._task.cancel()
        await self.over()

    async def over(self) -> None:
        """Wait until it has started, or never will."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeat a step until what it needs is there; each new reason is logged once. NotPermitted: it stays so."""
        began = time.monotonic()
        while True:
            try:
                return await step()
            except NotPermitted as error:
                self._why = str(error)
                if time.monotonic() - began > SETTLE_S:
                    raise
                await asyncio.sleep(RETRY_EVERY_S)
            except (Retryable, Halted) as error:
                began = time.monotonic()
                self._wait_for(str(error))
                await asyncio.sleep(RETRY_EVERY_S)

    def _wait_for(self, why: str) -> None:
        if why != self._why:
            log.warning("start.waiting", why=why)
        self._why = why

    async def _watch(self, starting: Coroutine[Any, Any, None]) -> None:
        try:
            await starting
        except NotPermitted as error:
            self._why = str(error)
            log.error("start.refused", why=self._why)  # noqa: TRY400  # the sentence says it all
            if self._refused is not None:
                self._refused()
        except OSError as error:  # a secret's file that is not there: the sentence says it all
            self._why = f"it can't start: {error}"
            log.error("start.failed", why=self._why)  # noqa: TRY400  # likewise
        except Exception as error:
            self._why = f"it can't start: {error!r}"
            log.exception("start.failed")
        else:
            self._why = None


class Running:
    """A worker under way. One that dies makes the service not ready; the process stays, to say why."""

    def __init__(self, name: str, worker: Worker) -> None:
        self._name, self._worker = name, worker
        self._died: str | None = None
        self._task = asyncio.create_task(self._run())

    def health(self) -> str | None:
        """Return why the worker does not work, None when it does."""
        return self._died or self._worker.health()

    async def stop(self) -> None:
        """Stop the worker."""
        await self._worker.stop()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._worker.run()
        except Exception as error:
            self._died = f"it died of a bug: {error!r}"
            log.exception("worker.died", worker=self._name)
