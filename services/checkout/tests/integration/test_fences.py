"""What keeps an order from being placed twice, taken out: then a repetition doubles it, and these checks see it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import httpx
import pytest
from services.checkout.tests.integration.ready import Opened, until_ready
from services.checkout.tests.integration.wire import Wire, wire_to
from sqlalchemy import text

from chassis.statement import Statement
from checkout import api, store
from waybill.stack import Stack

pytestmark = pytest.mark.integration

Ordered = Callable[..., Awaitable[httpx.Response]]
TWINS = 4
CLAIM = """claimed AS (
    INSERT INTO idempotency_keys (customer_id, key, body_digest, order_id)
    SELECT :customer_id, :key, :body_digest, :order_id FROM priced WHERE rightly
    ON CONFLICT (customer_id, key) DO NOTHING RETURNING order_id)"""
COMPARED = "p.unit_price_minor = l.price"
ANYHOW = "claimed AS (SELECT CAST(:order_id AS uuid) AS order_id)"


def placing_with(other: str, instead_of: str = CLAIM) -> Statement:
    """Return the statement that places an order, with another way to its claim, or to something else."""
    assert instead_of in store._PLACE.named, "the statement has changed: so must this"
    return Statement(store._PLACE.named.replace(instead_of, other))


class Door(NamedTuple):
    """A checkout to open, and one customer with one key."""

    open: Opened
    place: Ordered
    connection: asyncpg.Connection
    customer: str
    key: str

    async def order(self, client: httpx.AsyncClient, sku: str = "cup") -> int:
        """Order under the key; return the answer's status."""
        return (await self.place(client, self.key, customer=self.customer, sku=sku)).status_code

    async def orders(self) -> int:
        """Return how many orders the customer has."""
        count = "SELECT count(*) FROM orders WHERE customer_id = $1"
        return int(await self.connection.fetchval(count, self.customer))


@pytest.fixture
def door(open_checkout: Opened, order: Ordered, connection: asyncpg.Connection) -> Door:
    return Door(open_checkout, order, connection, f"anna-{uuid4()}", str(uuid4()))


@pytest.fixture
async def wire(migrated: Stack) -> AsyncIterator[Wire]:
    async with wire_to(migrated.postgres_port) as wire:
        yield wire


@pytest.mark.parametrize(("fenced", "orders"), [(True, 1), (False, TWINS)])
async def test_unless_the_claim_decides_twins_that_saw_no_claim_are_all_placed(
    door: Door, monkeypatch: pytest.MonkeyPatch, *, fenced: bool, orders: int
) -> None:
    if not fenced:
        monkeypatch.setattr(store, "_PLACE", placing_with(f"{CLAIM.replace('claimed', 'tried')},\n{ANYHOW}"))
    quote, all_have_looked = store.quote, asyncio.Barrier(TWINS)

    async def look_together(*asked: Any) -> Any:
        found = await quote(*asked)
        await all_have_looked.wait()
        return found

    async with door.open() as client:
        await until_ready(client)
        monkeypatch.setattr(store, "quote", look_together)
        assert await asyncio.gather(*(door.order(client) for _ in range(TWINS))) == [202] * TWINS
    assert await door.orders() == orders


@pytest.mark.parametrize(("fenced", "orders"), [(True, 1), (False, 2)])
async def test_unless_claim_and_order_are_committed_as_one_an_order_is_doubled_after_a_lost_connection(
    door: Door, wire: Wire, monkeypatch: pytest.MonkeyPatch, *, fenced: bool, orders: int
) -> None:
    if not fenced:
        monkeypatch.setattr(store, "place", place_then_claim)
    async with door.open(postgres_port=wire.port) as client:
        await until_ready(client)
        wire.lose, wire.whose = "the commit", door.key
        assert await door.order(client) == 503
        assert wire.lost.is_set()
        assert await door.order(client) == 202
    assert await door.orders() == orders


async def place_then_claim(connection: Any, claim: store.Claim, order: Any, told: Any) -> store.Placing:
    """Place an order and claim its key, in two transactions."""
    lines: Collection[Any] = order.lines
    places = {
        "order_id": claim.order_id,
        "customer_id": claim.customer_id,
        "total_minor": order.total.amount_minor,
        "currency": order.total.currency,
        "placed_at": order.placed_at,
        "skus": [line.sku for line in lines],
        "quantities": [line.quantity for line in lines],
        "prices": [line.unit_price.amount_minor for line in lines],
    }
    await placing_with(ANYHOW).rows(connection, places | told)
    claiming = text("INSERT INTO idempotency_keys VALUES (:customer_id, :key, :body_digest, :order_id)")
    await connection.execute(claiming, claim._asdict())
    return store.Placing.DONE


@pytest.mark.parametrize(("fenced", "status"), [(True, 422), (False, 202)])
async def test_unless_bodies_are_compared_another_order_gets_the_answer_of_the_first(
    door: Door, monkeypatch: pytest.MonkeyPatch, *, fenced: bool, status: int
) -> None:
    if not fenced:
        monkeypatch.setattr(api, "body_digest", lambda _: b"")
    async with door.open() as client:
        await until_ready(client)
        assert (await door.order(client), await door.order(client, "pot")) == (202, status)
    assert await door.orders() == 1


@pytest.mark.parametrize(("fenced", "minor"), [(True, 260), (False, 250)])
async def test_unless_prices_are_compared_an_order_costs_what_the_last_one_did(
    door: Door, monkeypatch: pytest.MonkeyPatch, *, fenced: bool, minor: int
) -> None:
    if not fenced:
        monkeypatch.setattr(store, "_PLACE", placing_with("l.price > 0", COMPARED))
    reprice = "UPDATE products SET unit_price_minor = $1 WHERE sku = 'cup'"
    async with door.open() as client:
        await until_ready(client)
        await door.place(client, str(uuid4()), customer=door.customer)
        await door.connection.execute(reprice, 260)
        await door.order(client)
        await door.connection.execute(reprice, 250)
    costs = "SELECT total_minor FROM orders WHERE customer_id = $1 ORDER BY number"
    assert [row["total_minor"] for row in await door.connection.fetch(costs, door.customer)] == [250, minor]
