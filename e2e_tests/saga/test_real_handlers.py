"""The services' real handlers and databases, driven through histories that Hypothesis invents.

Within a topic and a customer events keep their order; between topics, and between the readers of one topic, any may
be late; any may come twice, under its own id or a new one; the customer may cancel, reservations may expire, and the
gateway may decline or charge without an answer, at each point.
"""

import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from accounting.domain import Payment
from checkout.domain import Cancellation, Progress
from contracts import OrderStatus, OrderStatusChanged
from fulfillment.domain import Fate

pytestmark = pytest.mark.integration

ENDS = {"shipped", "rejected", "declined", "expired", "cancelled"}
TOKENS = ["tok_ok", "tok_declined", "tok_timeout_after_charge"]
MOST_STEPS = 400
MOST_TRIES = 300
Shop = Any  # conftest.py has it: test files do not import each other


@dataclass
class Plan:
    """A history: the stock, what each order pays with, how seldom the world interferes, what happens when."""

    units: int
    calm: int
    tokens: list[str]
    choices: list[int]

    def next(self, most: int) -> int:
        """Return the next choice out of so many; behind the last one, the first of them."""
        return self.choices.pop(0) % most if self.choices else 0


plans = st.builds(
    Plan,
    units=st.sampled_from([1, 2, 0]),
    calm=st.sampled_from([4, 12, 40]),
    tokens=st.lists(st.sampled_from(TOKENS), min_size=1, max_size=2),
    choices=st.lists(st.integers(0, 59), min_size=60, max_size=60),
)


@dataclass
class History:
    shop: Shop
    plan: Plan
    customer: str = field(default_factory=lambda: f"customer-{uuid4()}")
    sku: str = field(default_factory=lambda: f"sku-{uuid4()}")
    orders: list[UUID] = field(default_factory=list)
    delivered: list[Any] = field(default_factory=list)
    emitted: list[Any] = field(default_factory=list)

    async def run(self) -> None:
        """Place the orders and let everything happen, in the plan's order, until nothing is left to happen."""
        await self.shop.receive(self.sku, self.plan.units)
        for token in self.plan.tokens:
            self.orders.append(await self.shop.place(self.customer, self.sku, token))
        for _ in range(MOST_STEPS):
            if not await self._step():
                return
        raise AssertionError(f"after {MOST_STEPS} steps something still moves")

    async def _step(self) -> bool:
        ready = self.shop.deliverable(self.customer)
        if self.plan.choices and self.plan.next(self.plan.calm) == 0:
            await self._push()
        elif ready:
            self.delivered.append(await self.shop.deliver(*ready[self.plan.next(len(ready))]))
        else:
            return bool(await self.shop.sweep())
        return True

    async def _push(self) -> None:
        """Let the world outside do something: cancel, let time pass, bring a record once more."""
        what = self.plan.next(4)
        if what == 0:
            await self.shop.sweep()
        elif what == 1:
            await self.shop.cancel(self.customer, self.orders[self.plan.next(len(self.orders))])
        elif self.delivered:
            record = self.delivered[self.plan.next(len(self.delivered))]
            self.shop.double(record, same_id=what == 2)

    async def check(self) -> list[str]:
        """Every order ended once, and money, goods and parcels are where that end says; return the ends."""
        self.emitted = await self.shop.emitted()
        ends = [await self._end_of(order_id) for order_id in self.orders]
        shipped = ends.count("shipped")
        assert await self.shop.stock(self.sku) == (self.plan.units, self.plan.units - shipped, 0, shipped)
        assert self.shop.letters(self.customer) == []
        return ends

    async def _end_of(self, order_id: UUID) -> str:
        status, cancellation = await self.shop.status(order_id)
        told = self._told(order_id)
        assert [each for each in told if each in ENDS] == [status]
        assert told[-1] == status
        assert cancellation != "asked"
        assert (status == "cancelled") == (cancellation == "granted")
        provider, parcels = self.shop.provider, await self.shop.shipments(order_id)
        assert parcels == (status == "shipped")
        assert self._count("ShipmentDispatched", order_id) == parcels
        assert provider.charged[str(order_id)] - provider.refunded[str(order_id)] == parcels
        assert provider.charged[str(order_id)] <= 1
        assert self._count("PaymentCaptured", order_id) == provider.charged[str(order_id)]
        assert self._count("PaymentRefunded", order_id) == provider.refunded[str(order_id)]
        return str(status)

    def _told(self, order_id: UUID) -> list[str]:
        changes = [event for event in self.emitted if isinstance(event, OrderStatusChanged)]
        return [str(event.status) for event in changes if event.order_id == order_id]

    def _count(self, name: str, order_id: UUID) -> int:
        return sum(type(event).__name__ == name and event.order_id == order_id for event in self.emitted)

    async def drain(self) -> None:
        """Leave nothing behind that would stand in the next history's way."""
        while ready := self.shop.deliverable(self.customer):
            await self.shop.deliver(*ready[0])


async def holds(shop: Shop, plan: Plan) -> list[str]:
    history = History(shop, plan)
    try:
        await history.run()
        return await history.check()
    finally:
        await history.drain()


BOUNDED = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@given(plan=plans)
@settings(BOUNDED, max_examples=25, derandomize=True)
async def test_whatever_is_late_or_doubled_each_order_ends_once_and_everything_balances(shop: Shop, plan: Plan) -> None:
    for end in await holds(shop, plan):
        event(f"an order was {end}")


@pytest.mark.nightly
@given(plan=plans)
@settings(BOUNDED, max_examples=1_500)
async def test_many_histories_end_once_and_balance(shop: Shop, plan: Plan) -> None:
    for end in await holds(shop, plan):
        event(f"an order was {end}")


def no_end_is_withheld(progress: Progress, news: OrderStatus) -> bool:
    return progress._advance(news)  # noqa: SLF001  # what is left of `learn` without its rule


def every_parcel_leaves(fate: Fate) -> bool:
    fate.dispatched = True
    return True


def no_voiding(payment: Payment) -> None:
    return


def refusals_forget(progress: Progress, answer: Cancellation) -> bool:
    progress.cancellation, progress.withheld = answer, None
    return answer is Cancellation.GRANTED and progress._advance(OrderStatus.CANCELLED)  # noqa: SLF001  # likewise


FLAWS = [
    (Progress, "learn", no_end_is_withheld),
    (Progress, "answer", refusals_forget),
    (Fate, "dispatch", every_parcel_leaves),
    (Payment, "void", no_voiding),
]


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "name", "flaw"), FLAWS, ids=[flaw.__name__ for *_, flaw in FLAWS])
async def test_a_rule_that_is_taken_out_of_the_real_handlers_is_missed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, kind: type, name: str, flaw: Any
) -> None:
    monkeypatch.setattr(kind, name, flaw)
    found = 0
    generator = random.Random(4)  # noqa: S311  # histories need no secrecy
    for _ in range(MOST_TRIES):
        tokens = [generator.choice(TOKENS) for _ in range(generator.randint(1, 2))]
        plan = Plan(generator.randint(0, 2), 4, tokens, [generator.randrange(60) for _ in range(60)])
        try:
            await holds(shop, plan)
        except AssertionError:
            found += 1
            break
    assert found == 1
