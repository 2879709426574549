import asyncio
import time
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from waybill.token.signing import Signer

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0


@pytest.fixture
async def operator(inventory: httpx.AsyncClient, signer: Signer) -> httpx.AsyncClient:
    """The client of an operator, of an inventory that is ready."""
    inventory.headers["Authorization"] = f"Bearer {signer.operator()}"
    deadline = time.monotonic() + PATIENCE_S
    while (answer := await inventory.get("/health/ready")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.1)
    return inventory


def a_product(sku: str, minor: int = 250) -> dict[str, Any]:
    return {"sku": sku, "name": "A thing", "unit_price": {"amount_minor": minor, "currency": "EUR"}}


async def listed(operator: httpx.AsyncClient) -> str:
    sku = f"sku-{uuid4()}"
    answer = await operator.post("/v1/products", json={"products": [a_product(sku)]})
    assert (answer.status_code, answer.json()) == (200, {"listed": 1})
    return sku


async def levels(operator: httpx.AsyncClient, sku: str) -> dict[str, Any]:
    items = (await operator.get("/v1/stock", params={"sku": sku})).json()["items"]
    return items[0] if items else {}


async def test_a_product_is_kept_and_told_through_the_outbox(
    operator: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    sku = f"sku-{uuid4()}"
    answer = await operator.post("/v1/products", json={"products": [a_product(sku, 1), a_product(sku, 2)]})
    assert answer.json() == {"listed": 1}
    assert await connection.fetchval("SELECT unit_price_minor FROM products WHERE sku = $1", sku) == 2
    deadline = time.monotonic() + PATIENCE_S
    while await connection.fetchval("SELECT count(*) FROM outbox"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_delivery_is_counted_once(operator: httpx.AsyncClient) -> None:
    sku, receipt = await listed(operator), str(uuid4())
    body = {"receipt_id": receipt, "lines": [{"sku": sku, "quantity": 3}, {"sku": sku, "quantity": 4}]}
    answers = await asyncio.gather(*(operator.post("/v1/stock-receipts", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert sum(answer.json()["counted"] for answer in answers) == 1
    assert await levels(operator, sku) == {"sku": sku, "received": 7, "free": 7, "held": 0, "shipped": 0}


async def test_two_deliveries_add_up(operator: httpx.AsyncClient) -> None:
    sku = await listed(operator)
    for units in (3, 4):
        body = {"receipt_id": str(uuid4()), "lines": [{"sku": sku, "quantity": units}]}
        assert (await operator.post("/v1/stock-receipts", json=body)).status_code == 201
    assert (await levels(operator, sku))["free"] == 7


async def test_a_delivery_of_what_nobody_listed_is_refused_whole(operator: httpx.AsyncClient) -> None:
    sku, receipt = await listed(operator), str(uuid4())
    lines = [{"sku": sku, "quantity": 1}, {"sku": "nothing-like-it", "quantity": 1}]
    answer = await operator.post("/v1/stock-receipts", json={"receipt_id": receipt, "lines": lines})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown-sku")
    assert answer.json()["skus"] == ["nothing-like-it"]
    again = await operator.post("/v1/stock-receipts", json={"receipt_id": receipt, "lines": lines[:1]})
    assert again.status_code == 201  # the refused one left its id free


async def test_everything_is_shown_where_nothing_is_named(operator: httpx.AsyncClient) -> None:
    sku = await listed(operator)
    body = {"receipt_id": str(uuid4()), "lines": [{"sku": sku, "quantity": 1}]}
    await operator.post("/v1/stock-receipts", json=body)
    everything = (await operator.get("/v1/stock")).json()["items"]
    assert sku in {item["sku"] for item in everything}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/products", {"products": []}),
        ("/v1/products", {"products": [a_product("")]}),
        ("/v1/products", {"products": [a_product("cup", -1)]}),
        ("/v1/products", {"products": [a_product("cup") | {"colour": "red"}]}),
        ("/v1/stock-receipts", {"receipt_id": "one", "lines": [{"sku": "cup", "quantity": 1}]}),
        ("/v1/stock-receipts", {"receipt_id": str(uuid4()), "lines": [{"sku": "cup", "quantity": 0}]}),
        ("/v1/stock-receipts", {"receipt_id": str(uuid4()), "lines": []}),
    ],
)
async def test_a_wrong_body_is_a_problem(operator: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    answer = await operator.post(path, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/products"), ("POST", "/v1/stock-receipts"), ("GET", "/v1/stock")]
)
async def test_only_operators_come_in(operator: httpx.AsyncClient, signer: Signer, method: str, path: str) -> None:
    body = {"products": [a_product("cup")], "receipt_id": str(uuid4()), "lines": [{"sku": "cup", "quantity": 1}]}
    of_customer = {"Authorization": f"Bearer {signer.customer('anna')}"}
    answer = await operator.request(method, path, json=body, headers=of_customer)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    reader = signer._sign("operator", "ops:read", 60)  # noqa: SLF001  # `waybill token` makes no such one
    answer = await operator.request(method, path, json=body, headers={"Authorization": f"Bearer {reader}"})
    assert (answer.status_code == 200) == (method == "GET")
    assert (answer.status_code == 403) == (method == "POST")
    answer = await operator.request(method, path, json=body, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
