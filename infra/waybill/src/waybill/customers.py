"""The shop's HTTP interface as its customers and operators use it."""

import asyncio
import itertools
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from waybill.errors import UsageError
from waybill.stack import Stack
from waybill.token.signing import Signer

ACCEPTED = 202
MOST_AT_ONCE = 500
MOST_LINES = 99  # of an order: one less than checkout takes
KNOWN_DEADLINE_S = 30.0


class Answer(NamedTuple):
    """What checkout said to an order."""

    status: int
    order_id: str | None
    replayed: bool
    key: str
    customer_id: str
    retry_after: str | None = None
    why: str = ""  # it was refused; empty where it was not

    @property
    def accepted(self) -> bool:
        """Tell whether the order was accepted."""
        return self.status == ACCEPTED


@dataclass
class Shop:
    """Places orders and stocks shelves. Use it as an async context manager."""

    stack: Stack
    connections: int = 64
    _tokens: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        if not self.stack.services:
            raise UsageError("this stack runs no services: start it without --no-services")
        self._signer = Signer(self.stack)
        self._operator = {"Authorization": f"Bearer {self._signer.operator()}"}
        self._checkouts = itertools.cycle(self.stack.services["checkout"])
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.connections), timeout=aiohttp.ClientTimeout(total=30)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def order(self, customer_id: str, lines: Iterable[tuple[str, int]], token: str, key: str) -> Answer:
        """Place an order under an idempotency key. Lost answers raise aiohttp's errors: send it again."""
        body = {
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines],
            "payment_token": token,
        }
        headers = {"Authorization": f"Bearer {self._token(customer_id)}", "Idempotency-Key": key}
        async with self._session.post(f"{next(self._checkouts)}/v1/orders", json=body, headers=headers) as answer:
            found = await answer.json(content_type=None)
            replayed = answer.headers.get("Idempotency-Replayed") == "true"
            retry_after = answer.headers.get("Retry-After")
            why = found.get("detail", "")
            return Answer(answer.status, found.get("order_id"), replayed, key, customer_id, retry_after, why)

    def sign_for(self, customers: Iterable[str]) -> None:
        """Make the tokens of customers now, rather than with their first orders."""
        for customer_id in customers:
            self._token(customer_id)

    async def stock(self, products: dict[str, tuple[int, int]], currency: str = "USD") -> None:
        """Make products with {sku: (price in minor units, units to deliver)}, and wait until checkout knows them."""
        items = list(products.items())
        for start in range(0, len(items), MOST_AT_ONCE):
            some = items[start : start + MOST_AT_ONCE]
            listed = [
                {"sku": sku, "name": sku, "unit_price": {"amount_minor": price, "currency": currency}}
                for sku, (price, _) in some
            ]
            await self._operate("/v1/products", {"products": listed})
            lines = [{"sku": sku, "quantity": units} for sku, (_, units) in some if units]
            if lines:
                await self._operate("/v1/stock-receipts", {"receipt_id": str(uuid.uuid4()), "lines": lines})
        for start in range(0, len(items), MOST_LINES):
            await self._wait_until_priced([sku for sku, _ in items[start : start + MOST_LINES]])

    async def _operate(self, path: str, body: dict[str, Any]) -> None:
        url = self.stack.services["inventory"][0] + path
        try:
            async with self._session.post(url, json=body, headers=self._operator) as answer:
                if answer.status not in {200, 201}:
                    raise UsageError(f"{url} answered {answer.status}: {await answer.text()}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UsageError(f"{url} does not answer: see `waybill status`, start with `waybill up`") from error

    async def _wait_until_priced(self, skus: list[str]) -> None:
        try:
            async with asyncio.timeout(KNOWN_DEADLINE_S):
                await self._priced(skus)
        except (aiohttp.ClientError, TimeoutError) as error:
            what = f"checkout does not learn the prices of {', '.join(skus[:3])}"
            raise UsageError(f"{what}: see `waybill status`, without Kafka nobody tells it") from error

    async def _priced(self, skus: list[str]) -> None:
        """Ask for these beside a product that does not exist, until that is the only one without a price."""
        body = {
            "lines": [{"sku": sku, "quantity": 1} for sku in [*skus, "no-such-product"]],
            "payment_token": "none",
        }
        headers = {"Authorization": f"Bearer {self._token('price-watcher')}", "Idempotency-Key": str(uuid.uuid4())}
        while True:
            url = f"{next(self._checkouts)}/v1/orders"
            async with self._session.post(url, json=body, headers=headers) as answer:
                if (await answer.json(content_type=None)).get("skus") == ["no-such-product"]:
                    return
            await asyncio.sleep(0.1)

    def _token(self, customer_id: str) -> str:
        if customer_id not in self._tokens:
            self._tokens[customer_id] = self._signer.customer(customer_id)
        return self._tokens[customer_id]
