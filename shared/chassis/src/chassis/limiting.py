"""What a service refuses so that it can keep what it accepts: one customer's flood, and events without end."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from aiolimiter import AsyncLimiter
from cachetools import LRUCache
from fastapi import Request, Security
from fastapi.security import SecurityScopes
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import problems
from chassis.database import Database
from chassis.problems import Problem
from chassis.tokens import ORDERS, Bearer, Identity

LOOK_EVERY_S = 1.0
MOST_CUSTOMERS = 20_000  # who was not seen for longest begins anew


class Allowance:
    """So many requests a second for each customer, as many at once; every process counts by itself."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._buckets: LRUCache[str, AsyncLimiter] = LRUCache(MOST_CUSTOMERS)

    async def take(self, customer_id: str) -> None:
        """Count a request. Problem 429: the customer has had enough for now."""
        bucket = self._buckets.get(customer_id)
        if bucket is None:
            bucket = self._buckets[customer_id] = AsyncLimiter(self._per_second, time_period=1)
        if not bucket.has_capacity():
            detail = f"one customer may change {self._per_second} things a second"
            headers = {"Retry-After": "1"}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", detail, headers=headers)
        await bucket.acquire()


class Backlog:
    """Looks once a second whether a service owes more than it may; `why` is what a customer is told."""

    def __init__(self, is_too_long: Callable[[AsyncConnection], Awaitable[bool]], why: str) -> None:
        self.why = f"{why}; try again in a moment"
        self._is_too_long = is_too_long
        self._look_at = 0.0
        self._full = False

    async def check(self, database: Database) -> None:
        """Problem 503: too much is waiting already; what was accepted before comes first."""
        if await self.is_full(database):
            raise problems.unavailable(self.why)

    async def is_full(self, database: Database) -> bool:
        """Tell whether too much is waiting, as it was a second ago at most."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            async with database.own_statements() as connection:
                self._full = await self._is_too_long(connection)
        return self._full


class CountingBearer(Bearer):
    """Who asks, and not too often."""

    async def __call__(self, request: Request, needed: SecurityScopes) -> Identity:  # type: ignore[override]  # as there
        """Return who asks. Problems as of `Bearer`; 429: that was too often."""
        customer = await super().__call__(request, needed)
        allowance: Allowance = request.app.state.allowance
        await allowance.take(customer.subject)
        return customer


CountedCustomer = Annotated[Identity, Security(CountingBearer(), scopes=[ORDERS])]
"""A customer who changes something: not too often."""
