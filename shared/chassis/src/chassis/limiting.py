"""What a service refuses so that it can keep what it accepts: one customer's flood, and events without end."""

import time
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from chassis import problems
from chassis.database import Database
from chassis.problems import Problem
from chassis.tokens import Customer, Identity
from exactly_once import Outbox

LOOK_EVERY_S = 1.0


class Allowance:
    """So many requests in any second for each customer; every process counts by itself."""

    def __init__(self, per_second: int) -> None:
        self._item = RateLimitItemPerSecond(per_second)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def take(self, customer_id: str) -> None:
        """Count a request. Problem 429: the customer has had enough for this second."""
        if not await self._limiter.hit(self._item, customer_id):
            detail = f"one customer may change {self._item.amount} things a second"
            headers = {"Retry-After": "1"}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", detail, headers=headers)


class Backlog:
    """Looks once a second whether more events wait in the outbox than the service may owe."""

    def __init__(self, database: Database, outbox: Outbox, most: int) -> None:
        self._database, self._outbox, self._most = database, outbox, most
        self._look_at = 0.0
        self._full = False

    async def check(self) -> None:
        """Problem 503: too much is waiting already; what was accepted before is published first."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            async with self._database.reading() as connection:
                self._full = await self._outbox.exceeds(connection, self._most)
        if self._full:
            raise problems.unavailable("what was accepted waits to be published; try again in a moment")


async def _counted(request: Request, customer: Customer) -> Identity:
    allowance: Allowance = request.app.state.allowance
    await allowance.take(customer.subject)
    return customer


CountedCustomer = Annotated[Identity, Depends(_counted)]
"""A customer who changes something: not too often."""
