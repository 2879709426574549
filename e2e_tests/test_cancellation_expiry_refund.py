"""Orders that do not go as planned, through real services that are opened and closed at the right moments."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import aiohttp
import asyncpg
import pytest

from waybill.audit import audit
from waybill.customers import Shop
from waybill.dlq.office import Office, states
from waybill.local.launch import services
from waybill.placing import Placed, Purchase, place_in_order
from waybill.stack import Stack
from waybill.token.signing import Signer

pytestmark = pytest.mark.e2e

DEADLINE_S = 60.0
LONG_S = "900"
SHORT_S = "1"
PRICE = 1_250
BUYERS, UNITS = 100, 10


@dataclass
class House:
    """A shop whose services open and close one by one."""

    stack: Stack
    monkeypatch: pytest.MonkeyPatch
    _open: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def open(self, *names: str, ttl_s: str = LONG_S) -> None:
        """Start services side by side; inventory's reservations expire after `ttl_s`."""
        self.monkeypatch.setenv("WAYBILL_RESERVATION_TTL_S", ttl_s)
        self._open |= {name: AsyncExitStack() for name in names}
        started = [self._open[name].enter_async_context(services(self.stack, (name,))) for name in names]
        for running in await asyncio.gather(*started):
            opened = {"services": self.stack.services | running.services, "gateway_url": running.gateway_url}
            self.stack = self.stack.model_copy(update=opened)

    async def close(self, *names: str) -> None:
        """Stop services; all of them where none is named."""
        stacks = [self._open.pop(name, AsyncExitStack()) for name in names or list(self._open)]
        await asyncio.gather(*(stack.aclose() for stack in stacks))

    async def order(self, token: str, customer: str = "anna", sku: str = "cup") -> str:
        """Place an order for one unit."""
        async with Shop(self.stack) as door:
            answer = await door.order(customer, [(sku, 1)], token, str(uuid.uuid4()))
        assert answer.order_id is not None
        return answer.order_id

    async def cancel(self, order_id: str, customer: str = "anna") -> tuple[int, dict[str, Any]]:
        """Ask for a cancellation; return what was answered."""
        return await self._ask("POST", f"{order_id}/cancellation", customer)

    async def status(self, order_id: str, customer: str = "anna") -> str:
        """Return an order's status."""
        _, found = await self._ask("GET", order_id, customer)
        return str(found["status"])

    async def becomes(self, order_id: str, status: str, customer: str = "anna") -> None:
        """Wait until an order has a status."""

        async def has() -> bool:
            return await self.status(order_id, customer) == status

        await until(has)

    async def money(self, order_id: str) -> list[tuple[str, int]]:
        """Return what moved for an order at the gateway."""
        rows = await self.rows(
            "payment_gateway", "SELECT kind, amount_minor FROM ledger WHERE reference = $1 ORDER BY seq", order_id
        )
        return [(row["kind"], row["amount_minor"]) for row in rows]

    async def kept(self, order_id: str) -> int:
        """Return how much of an order's money the gateway keeps."""
        return sum(amount if kind == "capture" else -amount for kind, amount in await self.money(order_id))

    async def reservation(self, order_id: str) -> str:
        """Return where an order's reservation is."""
        rows = await self.rows("inventory", "SELECT state FROM reservations WHERE order_id = $1", order_id)
        return str(rows[0]["state"]) if rows else ""

    async def shipments(self, order_id: str) -> int:
        """Return how many shipments an order has."""
        return len(await self.rows("fulfillment", "SELECT 1 FROM shipments WHERE order_id = $1", order_id))

    async def rows(self, database: str, query: str, *values: Any) -> list[Any]:
        """Read a database as the auditor."""
        connection = await asyncpg.connect(self.stack.postgres_dsn(database, "auditor"), ssl=False)
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    async def execute(self, database: str, statement: str, *values: Any) -> None:
        """Change a database as the operator."""
        connection = await asyncpg.connect(self.stack.postgres_dsn(database, "operator"), ssl=False)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    async def letters(self, service: str, why: str) -> list[str]:
        """Return the ids of a service's dead letters of this reason."""
        found = await asyncio.to_thread(lambda: list(Office(self.stack).letters(group=service)))
        return [each["id"] for each in found if each["why"] == why]

    async def redrive(self, letter_id: str) -> None:
        """Send a dead letter back, as an operator does."""
        assert await asyncio.to_thread(Office(self.stack).redrive, letter_id) is None

    async def letter_is(self, letter_id: str) -> str:
        """Return what became of a dead letter."""
        found = await asyncio.to_thread(Office(self.stack).letter, letter_id)
        return (await states(self.stack, [found]))[letter_id]

    async def _ask(self, method: str, path: str, customer: str) -> tuple[int, dict[str, Any]]:
        url = f"{self.stack.services['checkout'][0]}/v1/orders/{path}"
        headers = {"Authorization": f"Bearer {Signer(self.stack).customer(customer)}"}
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not await holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def until_equal(ask: Callable[[], Awaitable[Any]], expected: Any) -> None:
    async def holds() -> bool:
        return bool(await ask() == expected)

    await until(holds)


@pytest.fixture(scope="module")
async def house(namespaced_stack: Stack) -> AsyncIterator[House]:
    """A house with all its services open; each test leaves it so."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        house = House(namespaced_stack, monkeypatch)
        await house.open("checkout", "inventory", "accounting", "fulfillment", "letters")
        async with Shop(house.stack) as door:
            await door.stock({"cup": (PRICE, 1_000), "rare": (PRICE, UNITS)})
        yield house
        await house.close()


async def test_a_cancellation_after_the_parcel_left_is_refused(house: House) -> None:
    order_id = await house.order("tok_ok")
    await until_equal(lambda: house.shipments(order_id), 1)
    answered, _ = await house.cancel(order_id)

    await house.becomes(order_id, "shipped")
    assert answered in {HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT}  # as checkout has heard of the parcel or not
    assert (await house.cancel(order_id))[0] == HTTPStatus.CONFLICT
    assert await house.money(order_id) == [("capture", PRICE)]
    await until_equal(lambda: house.reservation(order_id), "shipped")


async def test_a_hundred_buyers_of_ten_units_over_all_partitions_get_ten(house: House) -> None:
    async with Shop(house.stack) as door:
        rush = [Purchase(f"buyer-{each}", (("rare", 1),), "tok_ok", f"rush-{each}") for each in range(BUYERS)]
        placed = Placed()
        await place_in_order(door, rush, BUYERS, placed)

    async def ends() -> dict[str, int]:
        (stock,) = await house.rows("inventory", "SELECT free, held, shipped FROM stock WHERE sku = 'rare'")
        assert min(stock) >= 0
        assert sum(stock) == UNITS
        query = "SELECT status, count(*) FROM orders WHERE order_id = ANY($1::uuid[]) GROUP BY status"
        return {row["status"]: row["count"] for row in await house.rows("checkout", query, list(placed.order_ids))}

    await until_equal(ends, {"shipped": UNITS, "rejected": BUYERS - UNITS})
    partitions = await house.rows("inventory", "SELECT DISTINCT partition FROM claims WHERE topic = 'orders'")
    assert {row["partition"] for row in partitions} == {0, 1, 2}
    shipped = await house.rows("fulfillment", "SELECT sum(quantity) FROM shipment_lines WHERE sku = 'rare'")
    assert shipped[0]["sum"] == UNITS


async def test_no_money_is_kept_for_an_order_that_was_cancelled_before_it_was_paid_for(house: House) -> None:
    await house.close("accounting")
    order_id = await house.order("tok_ok")
    await house.becomes(order_id, "reserved")

    assert (await house.cancel(order_id))[0] == (await house.cancel(order_id))[0] == HTTPStatus.ACCEPTED
    await house.becomes(order_id, "cancelled")
    await until_equal(lambda: house.reservation(order_id), "released")
    await house.open("accounting")

    await until(lambda: at_rest(house, order_id))
    assert await house.kept(order_id) == 0
    assert await house.shipments(order_id) == 0
    assert (await house.cancel(order_id))[0] == HTTPStatus.CONFLICT


async def test_paid_orders_that_are_cancelled_get_their_money_back_once(house: House) -> None:
    await house.close("accounting")
    order_ids = [await house.order(token) for token in ("tok_ok", "tok_refund_timeout", "tok_refund_flaky")]
    for order_id in order_ids:
        await house.becomes(order_id, "reserved")
    await house.close("inventory")  # so that nothing is allocated, and so shipped, before the cancellation
    await house.open("accounting")
    for order_id in order_ids:
        await house.becomes(order_id, "paid")
        assert (await house.cancel(order_id))[0] == HTTPStatus.ACCEPTED
    await house.open("inventory")

    for order_id in order_ids:
        await house.becomes(order_id, "cancelled")
        await until(partial(at_rest, house, order_id))
        await until_equal(partial(house.reservation, order_id), "released")
        assert await house.money(order_id) == [("capture", PRICE), ("refund", PRICE)]
        assert await house.shipments(order_id) == 0


async def test_a_payment_that_ended_as_a_dead_letter_and_was_redriven_twice_ships_its_order_once(house: House) -> None:
    await house.close("accounting")
    order_id = await house.order("tok_ok")
    await house.becomes(order_id, "reserved")
    mend = "UPDATE reservations SET state = $2 WHERE order_id = $1"
    await house.execute("inventory", mend, order_id, "rejected")
    await house.open("accounting")
    why = "a payment for a reservation that is rejected"
    await until_equal(lambda: _count(house.letters("inventory", why)), 1)
    held = await audit(house.stack, wait_s=DEADLINE_S)
    await house.execute("inventory", mend, order_id, "held")

    (letter,) = await house.letters("inventory", why)
    assert await house.letter_is(letter) == "open"
    await house.redrive(letter)
    await house.redrive(letter)

    await house.becomes(order_id, "shipped")
    await house.redrive(letter)
    assert await house.letter_is(letter) == "answered"
    assert f"an open dead letter: {order_id}" in next(line.note for line in held.invariants if line.id == "10")
    assert await house.shipments(order_id) == 1
    assert await house.money(order_id) == [("capture", PRICE)]


async def test_a_reservation_that_nobody_pays_for_expires_and_a_late_payment_goes_back(house: House) -> None:
    await house.close("accounting", "inventory")
    await house.open("inventory", ttl_s=SHORT_S)
    order_id = await house.order("tok_ok")
    await house.becomes(order_id, "expired")
    assert await house.reservation(order_id) == "released"
    assert (await house.cancel(order_id))[0] == HTTPStatus.CONFLICT

    await house.open("accounting")
    await until(lambda: at_rest(house, order_id))
    assert await house.kept(order_id) == 0
    assert await house.shipments(order_id) == 0
    assert await house.status(order_id) == "expired"


async def test_at_the_end_nothing_is_under_way_and_every_invariant_holds(house: House) -> None:
    report = await audit(house.stack, wait_s=DEADLINE_S)

    assert report.failed == [], report
    assert report.settled
    assert report.orders > BUYERS
    assert "0 orders stopped" in next(line.note for line in report.invariants if line.id == "10")


async def _count(found: Awaitable[list[Any]]) -> int:
    return len(await found)


async def at_rest(house: House, order_id: str) -> bool:
    """Tell whether a void payment has come to its end: never charged, or refunded."""
    rows = await house.rows("accounting", "SELECT state, voided FROM payments WHERE order_id = $1", order_id)
    return bool(rows) and rows[0]["voided"] and rows[0]["state"] in {"awaiting", "refunded"}
