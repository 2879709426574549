"""What a customer reads: one order, all of them, its changes as they come, the price list."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from services.checkout.tests.integration.ready import Opened
from services.checkout.tests.integration.test_api import Place, assert_problem

from waybill.token.signing import Signer

pytestmark = pytest.mark.integration

SOON_S = 10.0  # less than a heartbeat


@pytest.fixture
def place(signer: Signer) -> Place:
    async def place(client: httpx.AsyncClient, customer: str = "anna") -> str:
        body = {"lines": [{"sku": "cup", "quantity": 1}], "payment_token": "tok_ok"}
        headers = as_customer(signer, customer) | {"Idempotency-Key": str(uuid4())}
        order_id: str = (await client.post("/v1/orders", headers=headers, json=body)).json()["order_id"]
        return order_id

    return place


def as_customer(signer: Signer, customer: str = "anna") -> dict[str, str]:
    return {"Authorization": f"Bearer {signer.customer(customer)}"}


async def move(connection: asyncpg.Connection, order_id: str, status: str, cancellation: str | None = None) -> None:
    query = "UPDATE orders SET status = $2, cancellation = $3 WHERE order_id = $1"
    await connection.execute(query, order_id, status, cancellation)


def events_of(stream: str) -> list[dict[str, str]]:
    """Parse a stream of events; comments are left out."""
    blocks = [block for block in stream.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def test_an_order_that_has_not_changed_is_not_sent_again(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection, signer: Signer
) -> None:
    headers, order_id = as_customer(signer), await place(checkout)
    path = f"/v1/orders/{order_id}"
    tag = (await checkout.get(path, headers=headers)).headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        again = await checkout.get(path, headers=headers | {"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    for status, cancellation in (("reserved", None), ("reserved", "asked")):
        await move(connection, order_id, status, cancellation)
        changed = await checkout.get(path, headers=headers | {"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        tag = changed.headers["etag"]


async def test_a_customers_orders_come_newest_first_and_page_by_page(
    checkout: httpx.AsyncClient, place: Place, signer: Signer
) -> None:
    customer = f"pages-{uuid4()}"
    placed = [await place(checkout, customer) for _ in range(5)]
    await place(checkout, f"other-{uuid4()}")
    found: list[str] = []
    path: str | None = "/v1/orders?limit=2"
    while path:
        page = (await checkout.get(path, headers=as_customer(signer, customer))).json()
        found += [order["order_id"] for order in page["orders"]]
        path = page["links"].get("next")
    assert found == placed[::-1]


async def test_another_customers_order_is_no_cursor(checkout: httpx.AsyncClient, place: Place, signer: Signer) -> None:
    theirs = await place(checkout, f"other-{uuid4()}")
    page = await checkout.get(f"/v1/orders?after={theirs}", headers=as_customer(signer))
    assert page.json() == {"orders": [], "links": {}}
    assert_problem(await checkout.get("/v1/orders?limit=0", headers=as_customer(signer)), 422, "invalid")


async def test_the_price_list_is_read_page_by_page(
    checkout: httpx.AsyncClient, connection: asyncpg.Connection, signer: Signer
) -> None:
    found: list[dict[str, Any]] = []
    path: str | None = "/v1/products?limit=2"
    while path:
        page = (await checkout.get(path, headers=as_customer(signer))).json()
        found += page["products"]
        path = page["links"].get("next")
    assert {"sku": "pot", "name": "A pot", "unit_price": {"amount_minor": 1999, "currency": "EUR"}} in found
    assert [product["sku"] for product in found] == [
        row["sku"] for row in await connection.fetch('SELECT sku FROM products ORDER BY sku COLLATE "C"')
    ]
    for wrong in ("%00", "x" * 101):
        answer = await checkout.get(f"/v1/products?after={wrong}", headers=as_customer(signer))
        assert_problem(answer, 422, "invalid")


async def test_who_watches_an_order_in_any_process_sees_it_change_until_its_end(
    open_checkout: Opened, checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection, signer: Signer
) -> None:
    order_id, headers = await place(checkout), as_customer(signer)
    async with open_checkout() as second:
        path = f"/v1/orders/{order_id}/events"
        watching = [asyncio.create_task(client.get(path, headers=headers)) for client in (checkout, second, second)]
        for status, cancellation in (("reserved", None), ("paid", None), ("paid", "asked"), ("cancelled", "granted")):
            await asyncio.sleep(0.6)  # two looks
            await move(connection, order_id, status, cancellation)
        async with asyncio.timeout(SOON_S):
            streams = [(await each) for each in watching]
    for stream in streams:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = events_of(stream.text)
        assert [each["id"] for each in told] == ["placed", "reserved", "paid", "paid-asked", "cancelled-granted"]
        assert {each["event"] for each in told} == {"status"}


async def test_who_comes_back_is_told_what_is_new_and_nothing_else(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection, signer: Signer
) -> None:
    order_id, headers = await place(checkout), as_customer(signer)
    path = f"/v1/orders/{order_id}/events"
    await move(connection, order_id, "paid")
    back = asyncio.create_task(checkout.get(path, headers=headers | {"Last-Event-ID": "paid"}))
    await asyncio.sleep(0.6)
    await move(connection, order_id, "shipped")
    async with asyncio.timeout(SOON_S):
        assert [each["id"] for each in events_of((await back).text)] == ["shipped"]
    late = await checkout.get(path, headers=headers | {"Last-Event-ID": "paid"})
    assert [each["id"] for each in events_of(late.text)] == ["shipped"]
    done = await checkout.get(path, headers=headers | {"Last-Event-ID": "shipped"})
    assert (done.status_code, done.content) == (204, b"")


async def test_nobody_watches_another_customers_order(
    checkout: httpx.AsyncClient, place: Place, signer: Signer
) -> None:
    order_id = await place(checkout)
    headers = as_customer(signer, "ben")
    assert_problem(await checkout.get(f"/v1/orders/{order_id}/events", headers=headers), 404, "order-not-found")
