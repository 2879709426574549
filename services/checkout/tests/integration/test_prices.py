"""The prices that a process remembers save a round trip, and are never what an order costs unless they stand."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from services.checkout.tests.integration.test_api import assert_problem
from services.checkout.tests.integration.test_fences import Ordered

from checkout import store
from contracts import Money
from waybill.token.signing import Signer

pytestmark = pytest.mark.integration

Reprice = Callable[..., Awaitable[None]]


@pytest.fixture
async def reprice(connection: asyncpg.Connection) -> Reprice:
    async def reprice(sku: str, minor: int, currency: str = "EUR") -> None:
        statement = """INSERT INTO products VALUES ($1, 'A thing', $2, $3) ON CONFLICT (sku) DO UPDATE
            SET (unit_price_minor, currency) = (excluded.unit_price_minor, excluded.currency)"""
        await connection.execute(statement, sku, minor, currency)

    return reprice


@pytest.fixture
async def sku(reprice: Reprice) -> str:
    """A product of its own, at 100 cents."""
    sku = f"sku-{uuid4()}"
    await reprice(sku, 100)
    return sku


async def cost(answer: httpx.Response) -> int:
    assert answer.status_code == 202, answer.text
    return int(answer.json()["total"]["amount_minor"])


async def not_asked(*_: Any) -> None:
    raise AssertionError("the prices are remembered")


async def test_an_order_of_what_was_ordered_lately_takes_one_statement(
    checkout: httpx.AsyncClient, order: Ordered, sku: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await order(checkout, str(uuid4()), sku=sku)
    monkeypatch.setattr(store, "quote", not_asked)
    key = str(uuid4())
    assert await cost(await order(checkout, key, sku=sku)) == 100
    assert (await order(checkout, key, sku=sku)).headers["idempotency-replayed"] == "true"


async def test_an_order_costs_what_its_products_cost_now(
    checkout: httpx.AsyncClient, order: Ordered, sku: str, reprice: Reprice
) -> None:
    assert await cost(await order(checkout, str(uuid4()), sku=sku)) == 100
    await reprice(sku, 120)
    assert await cost(await order(checkout, str(uuid4()), sku=sku)) == 120


async def test_an_order_in_another_currency_than_it_cost_once_is_in_the_new_one(
    checkout: httpx.AsyncClient, order: Ordered, sku: str, reprice: Reprice
) -> None:
    await order(checkout, str(uuid4()), sku=sku)
    await reprice(sku, 100, "USD")
    answer = await order(checkout, str(uuid4()), sku=sku)
    assert answer.json()["total"] == {"amount_minor": 100, "currency": "USD"}


async def test_prices_that_move_while_an_order_is_placed_are_asked_for_again(
    checkout: httpx.AsyncClient, order: Ordered, sku: str, reprice: Reprice, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = store.quote

    async def overtaken(*asked: Any) -> dict[str, Money] | None:
        found = await quote(*asked)
        monkeypatch.setattr(store, "quote", quote)
        await reprice(sku, 130)
        return found

    monkeypatch.setattr(store, "quote", overtaken)
    assert await cost(await order(checkout, str(uuid4()), sku=sku)) == 130


async def test_prices_that_never_stand_still_place_nothing(
    checkout: httpx.AsyncClient,
    order: Ordered,
    sku: str,
    connection: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def wrong(*_: Any) -> dict[str, Money]:
        return {sku: Money(amount_minor=99, currency="EUR")}

    key = str(uuid4())
    with monkeypatch.context() as patched:
        patched.setattr(store, "quote", wrong)
        answer = await order(checkout, key, sku=sku)
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys WHERE key = $1", key) == 0
    assert await connection.fetchval("SELECT count(*) FROM order_lines WHERE sku = $1", sku) == 0
    assert await cost(await order(checkout, key, sku=sku)) == 100


async def test_a_repetition_is_answered_as_the_first_though_the_prices_would_refuse_it_now(
    checkout: httpx.AsyncClient, signer: Signer, sku: str, reprice: Reprice
) -> None:
    body = {"lines": [{"sku": each, "quantity": 1} for each in ("cup", sku)], "payment_token": "tok_ok"}
    headers = {"Authorization": f"Bearer {signer.customer('anna')}"}

    async def place(key: str) -> httpx.Response:
        return await checkout.post("/v1/orders", json=body, headers=headers | {"Idempotency-Key": key})

    key = str(uuid4())
    first = await place(key)
    await reprice(sku, 100, "USD")
    for _ in range(2):  # at prices that are remembered from before, and at those of now
        again = await place(key)
        assert (again.headers["idempotency-replayed"], again.json()) == ("true", first.json())
        assert_problem(await place(str(uuid4())), 422, "mixed-currencies")
    await reprice(sku, 100)
    assert (await place(str(uuid4()))).status_code == 202
