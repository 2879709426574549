"""The publication under way, if there is one: the next batch is decided meanwhile, and then waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

from exactly_once.batch import Positions


class Publishing:
    """Publishes one batch at a time, behind the back of whoever decides the next one.

    As a context manager it leaves nothing running. What is under way when its block fails may end, and is cancelled
    only with the task that waits for it. Its own failure is raised then: that of the block comes again if it matters,
    once a recovery has published what was decided before.
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
        """Publish, up to these positions. The publication before has been awaited."""
        self._task = asyncio.create_task(_moving_to(positions, publication))

    async def ended(self) -> None:
        """Wait until the last publication is answered. Raises what it failed with."""
        task, self._task = self._task, None
        if task is not None:
            self.positions = await task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        own = asyncio.current_task()
        if is_cancelled := own is not None and own.cancelling() > 0:
            task.cancel()
        (failure,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(failure, BaseException) and not is_cancelled:
            raise failure from error


async def _moving_to(positions: Positions, publication: Coroutine[Any, Any, None]) -> Positions:
    await publication
    return positions
