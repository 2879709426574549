"""A process that offers its share of the orders: an open loop, whether or not the orders before were answered."""

import asyncio
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NamedTuple

import aiohttp

from waybill.customers import Shop
from waybill.load.plan import Plan
from waybill.placing import Placed
from waybill.stack import Stack

CONNECTIONS = 512
CUSTOMERS = 500
SHED = {429, 503}


class Task(NamedTuple):
    """What a generator is to do: the orders `first`, `first + step`, and so on of a plan."""

    stack: Stack
    plan: Plan
    run: str
    sku: str
    first: int
    step: int


@dataclass
class Outcome:
    """What came of the orders that one generator offered, or all together; times in seconds.

    An order's latency counts from the moment at which it was due, and `late_s` tells how late it was sent.
    """

    before: Placed = field(default_factory=Placed)
    measured: Placed = field(default_factory=Placed)
    offered: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by status, or by what the connection failed with
    because: Counter[str] = field(default_factory=Counter)  # of refusals: what they said
    without_retry_after: int = 0
    late_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def add(self, other: "Outcome") -> None:
        """Take in what another generator offered."""
        self.before.add(other.before)
        self.measured.add(other.measured)
        self.offered += other.offered
        self.refused += other.refused
        self.because += other.because
        self.without_retry_after += other.without_retry_after
        self.late_s += other.late_s
        self.cpu_s += other.cpu_s


def generate(task: Task, pipe: Connection) -> None:
    """Say when ready, hear the moment (of `time.monotonic`) to begin at, offer, and tell what came of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the command, and with it its generators
    pipe.send(asyncio.run(_generate(task, pipe)))


async def _generate(task: Task, pipe: Connection) -> Outcome:
    async with Shop(task.stack, connections=CONNECTIONS) as shop:
        shop.sign_for(_customer(task, number) for number in range(CUSTOMERS))
        pipe.send("ready")
        offers = _Offers(task, shop, pipe.recv())
        offering = asyncio.ensure_future(offers.offer())
        asyncio.get_running_loop().add_reader(pipe.fileno(), offering.cancel)  # the command was killed: it says no more
        try:
            await offering
        except asyncio.CancelledError:
            raise SystemExit(1) from None
    offers.outcome.cpu_s = time.process_time()
    return offers.outcome


def _customer(task: Task, number: int) -> str:
    return f"load-{task.run}-{number % CUSTOMERS}"


@dataclass
class _Offers:
    task: Task
    shop: Shop
    began: float
    outcome: Outcome = field(default_factory=Outcome)

    async def offer(self) -> None:
        """Send every order at its moment, and wait for the last answer."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.task.first, self.task.plan.orders, self.task.step):
                due = self.began + self.task.plan.due_s(number)
                await asyncio.sleep(due - time.monotonic())
                group.create_task(self._order(number, due))

    async def _order(self, number: int, due: float) -> None:
        is_measured = number >= self.task.plan.unmeasured
        refused, because = Counter[str](), Counter[str]()
        if is_measured:
            refused, because = self.outcome.refused, self.outcome.because
            self.outcome.offered += 1
            self.outcome.late_s.append(time.monotonic() - due)
        lines = [(self.task.sku, 1)]
        try:
            answer = await self.shop.order(_customer(self.task, number), lines, "tok_ok", f"{self.task.run}-{number}")
        except (aiohttp.ClientError, TimeoutError) as error:
            refused[type(error).__name__] += 1
            return
        placed = self.outcome.measured if is_measured else self.outcome.before
        placed.take(answer, due)
        if not answer.accepted:
            refused[str(answer.status)] += 1
            because[answer.why] += 1
            self.outcome.without_retry_after += answer.status in SHED and answer.retry_after is None
