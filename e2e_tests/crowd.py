"""Customers who order in an open loop, whatever they are answered, and note every answer."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import aiohttp

from waybill.audit import Answer
from waybill.stack import Stack
from waybill.token.signing import Signer

CUSTOMERS = 20
PATIENCE_S = 10.0
PAUSE_S = 0.1
ACCEPTED = 202


class Told(NamedTuple):
    """What a customer was told, and after how many seconds; status 0: nothing."""

    status: int
    took_s: float
    kind: str
    retry_after: str | None
    order_id: str | None


@dataclass
class Order:
    """An order that somebody places, and every answer to it."""

    customer: str
    key: str
    told: list[Told] = field(default_factory=list)

    @property
    def order_id(self) -> str | None:
        """The order that it became, None while nobody said so."""
        return next((told.order_id for told in self.told if told.order_id), None)


class Crowd:
    """Orders of one product. Use it as an async context manager."""

    def __init__(self, stack: Stack, sku: str) -> None:
        self._stack, self._sku = stack, sku
        self._signer = Signer(stack)
        self._numbers = itertools.count()
        self.orders: list[Order] = []

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)  # who waits for a connection would not be asked by the server
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        self._tokens = [self._signer.customer(f"crowd-{each}") for each in range(CUSTOMERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @asynccontextmanager
    async def ordering(self, rate: float) -> AsyncIterator[list[Order]]:
        """Order `rate` times a second during a block; yield the orders as they come. All are answered at its end."""
        ours: list[Order] = []
        arriving = asyncio.create_task(self._arrive(rate, ours))
        try:
            yield ours
        finally:
            arriving.cancel()
            await asyncio.wait({arriving})
            await asyncio.gather(*self._under_way)

    async def insist(self, orders: Iterable[Order]) -> None:
        """Send again what was not accepted, under its key, until it is."""
        refused = [order for order in orders if order.order_id is None]
        await asyncio.gather(*(self._insist(refused[each::CUSTOMERS]) for each in range(CUSTOMERS)))

    async def _insist(self, orders: Iterable[Order]) -> None:
        for order in orders:
            while order.order_id is None:
                await self._ask(order)
                await asyncio.sleep(PAUSE_S)

    async def ready(self) -> tuple[int, str]:
        """Return what checkout's readiness says."""
        async with self._session.get(f"{self._stack.services['checkout'][0]}/health/ready") as answer:
            return answer.status, (await answer.json())["why"] or ""

    @property
    def answers(self) -> list[Answer]:
        """Every acceptance, as the audit takes it."""
        return [
            Answer(customer_id=order.customer, idempotency_key=order.key, order_id=order.order_id)
            for order in self.orders
            if order.order_id
        ]

    async def _arrive(self, rate: float, ours: list[Order]) -> None:
        self._under_way: list[asyncio.Task[None]] = []
        began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            turn = next(self._numbers)
            order = Order(f"crowd-{turn % CUSTOMERS}", f"crowd-{turn}")
            ours.append(order)
            self.orders.append(order)
            self._under_way.append(asyncio.create_task(self._ask(order)))

    async def _ask(self, order: Order) -> None:
        body = {"lines": [{"sku": self._sku, "quantity": 1}], "payment_token": "tok_ok"}
        token = self._tokens[int(order.customer.rpartition("-")[2])]
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": order.key}
        url, began = f"{self._stack.services['checkout'][0]}/v1/orders", time.monotonic()
        try:
            async with self._session.post(url, json=body, headers=headers) as answer:
                found: dict[str, Any] = await answer.json(content_type=None)
                kind = f"{answer.content_type} {found.get('type', '')}"
                told = Told(answer.status, 0, kind, answer.headers.get("Retry-After"), found.get("order_id"))
        except (aiohttp.ClientError, TimeoutError) as error:
            told = Told(0, 0, type(error).__name__, None, None)
        order.told.append(told._replace(took_s=time.monotonic() - began))


def told(orders: Iterable[Order]) -> Counter[tuple[int, str, str | None]]:
    """Count the first answers: status, content type and problem, Retry-After."""
    return Counter((order.told[0].status, order.told[0].kind, order.told[0].retry_after) for order in orders)
