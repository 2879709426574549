"""An open loop: orders arrive by schedule, whether or not the ones before were answered."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from waybill.customers import Shop
from waybill.placing import Placed

CUSTOMERS = 500


@dataclass
class Arrivals:
    """Offers `rate` orders a second for `duration_s` seconds; latency counts from the scheduled moment."""

    shop: Shop
    sku: str
    run: str
    placed: Placed = field(default_factory=Placed)
    refused: Counter[str] = field(default_factory=Counter)
    offered: int = 0

    async def offer(self, rate: float, duration_s: float) -> None:
        """Send every order at its moment, and wait for the last answer."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(round(rate * duration_s)):
                due = began + number / rate
                await asyncio.sleep(due - time.monotonic())
                group.create_task(self._order(due))

    async def _order(self, due: float) -> None:
        number, self.offered = self.offered, self.offered + 1
        customer, key = f"load-{self.run}-{number % CUSTOMERS}", f"{self.run}-{number}"
        try:
            answer = await self.shop.order(customer, [(self.sku, 1)], "tok_ok", key)
        except (aiohttp.ClientError, TimeoutError) as error:
            self.refused[type(error).__name__] += 1
            return
        self.placed.take(answer, due)
        if not answer.accepted:
            self.refused[str(answer.status)] += 1
