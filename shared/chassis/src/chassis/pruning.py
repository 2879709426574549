"""Retention: what a service need not remember any more is deleted, a bounded number of rows a transaction."""

from collections.abc import Awaitable, Callable, Iterable

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.rounds import Rounds
from exactly_once.transactions import transaction

EVERY_S = 10.0
MOST = 2_000  # rows a transaction

Prune = Callable[[AsyncConnection, int], Awaitable[int]]  # at most so many; returns how many


class Pruner(Rounds):
    """Runs a service's prunes. Every process of the service runs one: rows that one holds, others skip."""

    def __init__(self, prunes: Iterable[Prune], *, engine: AsyncEngine) -> None:
        super().__init__("pruning", EVERY_S)
        self._prunes = list(prunes)
        self._engine = engine

    async def _go_round(self) -> bool:
        pruned = [await self._run(prune) for prune in self._prunes]
        return max(pruned, default=0) >= MOST

    async def _run(self, prune: Prune) -> int:
        async with transaction(self._engine) as connection:
            return await prune(connection, MOST)
