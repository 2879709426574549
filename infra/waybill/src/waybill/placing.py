"""Placing many orders: each customer's in order, customers side by side, every answer kept."""

import asyncio
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp

from waybill.customers import Answer, Shop
from waybill.output import progress
from waybill.watcher import Watcher

ATTEMPTS = 20
RETRY_S = 0.5
SHED = {429, 503}


class Purchase(NamedTuple):
    """An order to place."""

    customer_id: str
    lines: tuple[tuple[str, int], ...]
    payment_token: str
    key: str


@dataclass
class Placed:
    """What came of placing orders: every answer, how long it took, and when it came."""

    answers: list[Answer] = field(default_factory=list)
    accept_s: list[float] = field(default_factory=list)
    accepted_at: dict[str, float] = field(default_factory=dict)

    @property
    def order_ids(self) -> set[str]:
        """The orders that were accepted."""
        return set(self.accepted_at)

    def add(self, other: "Placed") -> None:
        """Take in what somebody else placed."""
        self.answers += other.answers
        self.accept_s += other.accept_s
        self.accepted_at |= other.accepted_at

    def take(self, answer: Answer, began: float) -> None:
        """Note an answer."""
        now = time.monotonic()
        self.answers.append(answer)
        if answer.accepted and answer.order_id is not None:
            self.accept_s.append(now - began)
            self.accepted_at.setdefault(answer.order_id, now)


async def place(shop: Shop, purchase: Purchase, placed: Placed) -> Answer:
    """Place an order; what is lost or shed is sent again under the same key."""
    for attempt in range(ATTEMPTS):
        began = time.monotonic()
        try:
            answer = await shop.order(purchase.customer_id, purchase.lines, purchase.payment_token, purchase.key)
        except (aiohttp.ClientError, TimeoutError):
            if attempt == ATTEMPTS - 1:
                raise
        else:
            if answer.status not in SHED or attempt == ATTEMPTS - 1:
                placed.take(answer, began)
                return answer
        await asyncio.sleep(RETRY_S)
    raise AssertionError("unreachable")


async def place_in_order(
    shop: Shop, purchases: Iterable[Purchase], at_once: int, placed: Placed, rate: float | None = None
) -> None:
    """Place purchases, `at_once` customers side by side, `rate` a second at most.

    A customer's next order is sent after the one before was answered.
    """
    began = time.monotonic()
    turns = itertools.count()
    queues: dict[str, list[Purchase]] = {}
    for purchase in purchases:
        queues.setdefault(purchase.customer_id, []).append(purchase)
    waiting = iter(queues.values())

    async def serve() -> None:
        for queue in waiting:
            for purchase in queue:
                if rate is not None:
                    await asyncio.sleep(began + next(turns) / rate - time.monotonic())
                await place(shop, purchase, placed)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(serve())


async def settle(watcher: Watcher, order_ids: set[str], deadline_s: float) -> int:
    """Wait until these orders have ended, with progress; return how many have."""
    deadline, told = time.monotonic() + deadline_s, time.monotonic()
    while (done := watcher.settled(order_ids)) < len(order_ids) and time.monotonic() < deadline:
        if time.monotonic() - told > 2:  # noqa: PLR2004  # seconds
            told = time.monotonic()
            progress(f"  {done} of {len(order_ids)} orders have ended")
        await asyncio.sleep(0.05)
    return done
