"""The publication under way, if there is one: the next batch is decided meanwhile, and then waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

import structlog

from exactly_once.batch import Positions

log = structlog.get_logger(__name__)


class Publishing:
    """Publishes one batch at a time, behind the back of whoever decides the next one.

    As a context manager it leaves nothing running: when its block fails, what is under way may end, and is cancelled
    only with its block. Recovery finds out what became of it.
    """

    def __init__(self, positions: Positions) -> None:
        """Start with the positions that Kafka has."""
        self.positions = positions  # of the last publication that was answered, and awaited
        self._task: asyncio.Task[Positions] | None = None

    @property
    def is_under_way(self) -> bool:
        """Tell whether the last publication has yet to end."""
        return self._task is not None and not self._task.done()

    def start(self, publication: Coroutine[Any, Any, None], positions: Positions) -> None:
        """Publish, up to these positions; the publication before was awaited."""
        self._task = asyncio.create_task(_moving_to(positions, publication))

    async def ended(self) -> None:
        """Wait until the last publication is answered. Raises what it failed with."""
        task, self._task = self._task, None
        if task is not None:
            self.positions = await task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            task.cancel()
        (failure,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(failure, BaseException):
            log.warning("publication.failed", kind=type(failure).__name__, why=str(failure))


async def _moving_to(positions: Positions, publication: Coroutine[Any, Any, None]) -> Positions:
    await publication
    return positions
