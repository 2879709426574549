"""Keeps the library's tables bounded: stored outputs end with their publication, claims with their retention."""

import datetime as dt
import time
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once.batch import Positions
from exactly_once.claims import Claims
from exactly_once.inbox import Inbox
from exactly_once.transactions import transaction

EVERY_S = 10.0
MOST_CLAIMS = 5_000

# Above the topics' retention (7 days), the dead letters' (30 days) and a segment that Kafka has yet to close (7 days):
# while a record can still come, or a letter be redriven, its claim is there.
CLAIMS_KEPT = dt.timedelta(days=45)


@dataclass
class Pruning:
    """Prunes one group's tables now and then, a bounded number of rows a time."""

    engine: AsyncEngine
    inbox: Inbox
    claims_kept: dt.timedelta
    every_s: float
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = time.monotonic() + self.every_s

    async def run(self, published: Positions, epochs: Positions) -> None:
        """Drop what is due, below `published`, the positions of an answered commit; most calls have nothing to do."""
        if time.monotonic() < self._next:
            return
        async with transaction(self.engine) as connection:
            await self.inbox.prune(connection, published, epochs)
        async with transaction(self.engine) as connection:
            pruned = await Claims(self.inbox.group).prune(connection, self.claims_kept, MOST_CLAIMS)
        if pruned < MOST_CLAIMS:  # else there is more: go on with the next batch of records
            self._next = time.monotonic() + self.every_s
