"""What is done again and again behind the requests: at once while there is more to do, else now and then."""

import asyncio
from abc import abstractmethod

from exactly_once.worker import Worker


class Rounds(Worker):
    """Goes its round every so many seconds, and at once where the last one left something undone."""

    def __init__(self, name: str, every_s: float) -> None:
        super().__init__(name)
        self._every_s = every_s

    @abstractmethod
    async def _go_round(self) -> bool:
        """Do what is due, a bounded part of it; return whether there may be more."""

    async def _work(self) -> None:
        while not self._stopping.is_set():
            more = await self._go_round()
            self._why = None
            self._backoff.reset()
            if not more:
                await self._rest()

    async def _close(self) -> None:
        """Hold nothing between two rounds."""

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._every_s):
                await self._stopping.wait()
        except TimeoutError:
            return
