import asyncio
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from services.checkout.tests.integration.ready import PATIENCE_S, Opened, until_ready

from chassis.limiting import LOOK_EVERY_S
from checkout.queue import SAMPLE
from waybill.token.signing import Signer

pytestmark = pytest.mark.integration

BODY: dict[str, Any] = {
    "lines": [{"sku": "cup", "quantity": 3}, {"sku": "pot", "quantity": 1}],
    "payment_token": "tok_ok",
}

Place = Callable[..., Any]


@pytest.fixture
def place(signer: Signer) -> Place:
    async def place(client: httpx.AsyncClient, key: str, *, customer: str = "anna", **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {signer.customer(customer)}", "Idempotency-Key": key}
        return await client.post("/v1/orders", headers=headers, **(request or {"json": BODY}))

    return place


def assert_problem(answer: httpx.Response, status: int, name: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{name}")
    assert len(problem["trace_id"]) == 32
    return problem


async def test_an_order_is_accepted_kept_and_published(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection, signer: Signer
) -> None:
    answer = await place(checkout, str(uuid4()))
    order_id = answer.json()["order_id"]
    path = f"/v1/orders/{order_id}"
    assert answer.status_code == 202
    assert answer.headers["location"] == path
    assert answer.json() == {
        "order_id": order_id,
        "status": "placed",
        "total": {"amount_minor": 2749, "currency": "EUR"},
        "links": {"self": path, "events": f"{path}/events"},
    }
    for token in (signer.customer("anna"), signer.operator()):
        seen = (await checkout.get(path, headers={"Authorization": f"Bearer {token}"})).json()
        assert [(line["sku"], line["quantity"], line["unit_price"]["amount_minor"]) for line in seen["lines"]] == [
            ("cup", 3, 250),
            ("pot", 1, 1999),
        ]
    deadline = time.monotonic() + PATIENCE_S
    while await connection.fetchval("SELECT count(*) FROM outbox"):
        assert time.monotonic() < deadline, "the relay does not publish"
        await asyncio.sleep(0.05)


async def test_a_repetition_gets_the_first_answer(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection
) -> None:
    key = str(uuid4())
    first, again = await place(checkout, key), await place(checkout, key)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys WHERE key = $1", key) == 1


async def test_concurrent_twins_are_one_order(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection
) -> None:
    customer, key = f"twin-{uuid4()}", str(uuid4())
    answers = await asyncio.gather(*(place(checkout, key, customer=customer) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["order_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert await connection.fetchval("SELECT count(*) FROM orders WHERE customer_id = $1", customer) == 1


async def test_a_key_outlives_the_process(open_checkout: Opened, place: Place, connection: asyncpg.Connection) -> None:
    key, answers = str(uuid4()), []
    for _ in range(2):
        async with open_checkout() as client:
            await until_ready(client)
            answers.append(await place(client, key))
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotency-replayed"] == "true"


async def test_a_key_stands_for_one_body_of_one_customer(checkout: httpx.AsyncClient, place: Place) -> None:
    key = str(uuid4())
    first = await place(checkout, key)
    assert_problem(await place(checkout, key, json=BODY | {"payment_token": "tok_x"}), 422, "idempotency-key-reused")
    others = await place(checkout, key, customer="ben")
    assert others.json()["order_id"] != first.json()["order_id"]


async def test_a_twin_that_waits_too_long_is_told_so(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection
) -> None:
    key = str(uuid4())
    claim = "INSERT INTO idempotency_keys VALUES ('anna', $1, '', gen_random_uuid())"
    async with connection.transaction():
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL transaction_timeout = 0")
        await connection.execute(claim, key)
        answer = await place(checkout, key)
        await connection.execute("DELETE FROM idempotency_keys WHERE key = $1", key)
    assert_problem(answer, 409, "in-flight")
    assert answer.headers["retry-after"] == "1"


async def test_a_refused_order_leaves_its_key_free(checkout: httpx.AsyncClient, place: Place) -> None:
    key = str(uuid4())
    unknown = BODY | {"lines": [{"sku": "spoon", "quantity": 1}]}
    assert assert_problem(await place(checkout, key, json=unknown), 422, "unknown-sku")["skus"] == ["spoon"]
    assert (await place(checkout, key)).status_code == 202


@pytest.mark.parametrize(
    ("request_body", "status", "name"),
    [
        ({"content": b"{", "headers": {}}, 400, "malformed"),
        ({"content": b'{"payment_token": "\xff"}'}, 400, "malformed"),
        ({"content": b"[" * 100_000}, 400, "malformed"),
        ({"content": b'{"payment_token": ' + b"1" * 5_000 + b"}"}, 400, "malformed"),
        ({"json": BODY | {"lines": []}}, 422, "invalid"),
        ({"json": BODY | {"lines": [{"sku": "cup", "quantity": 1}] * 101}}, 422, "invalid"),
        ({"json": BODY | {"lines": [{"sku": "cup", "quantity": 0}]}}, 422, "invalid"),
        ({"json": BODY | {"lines": [{"sku": "cup", "quantity": 1_001}]}}, 422, "invalid"),
        ({"json": BODY | {"lines": [{"sku": "c\x00p", "quantity": 1}]}}, 422, "invalid"),
        ({"json": BODY | {"payment_token": "tok\x00"}}, 422, "invalid"),
        ({"json": BODY | {"payment_token": "tok ok"}}, 422, "invalid"),  # the gateway would refuse it: a dead letter
        ({"json": BODY | {"payment_token": "tök"}}, 422, "invalid"),
        ({"content": json.dumps(BODY | {"payment_token": "\ud800"})}, 422, "invalid"),  # half a character
        ({"json": BODY | {"discount": 1}}, 422, "invalid"),
        (
            {"json": BODY | {"lines": [{"sku": "cup", "quantity": 1}, {"sku": "usd", "quantity": 1}]}},
            422,
            "mixed-currencies",
        ),
        ({"content": b" " * (256 << 10) + b"{}"}, 413, "body-too-large"),
    ],
)
async def test_a_wrong_body_is_a_problem(
    checkout: httpx.AsyncClient, signer: Signer, request_body: dict[str, Any], status: int, name: str
) -> None:
    headers = {
        "Authorization": f"Bearer {signer.customer('anna')}",
        "Idempotency-Key": str(uuid4()),
        "Content-Type": "application/json",
    }
    answer = await checkout.post("/v1/orders", **request_body | {"headers": headers})
    assert_problem(answer, status, name)


async def test_a_key_is_required_and_bounded(checkout: httpx.AsyncClient, place: Place, signer: Signer) -> None:
    headers = {"Authorization": f"Bearer {signer.customer('anna')}"}
    assert_problem(await checkout.post("/v1/orders", json=BODY, headers=headers), 400, "idempotency-key-missing")
    assert_problem(await place(checkout, "k" * 256), 422, "invalid")


async def test_who_orders_must_be_a_customer(checkout: httpx.AsyncClient, signer: Signer) -> None:
    for token, status, name in (("forged", 401, "unauthorized"), (signer.operator(), 403, "forbidden")):
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        assert_problem(await checkout.post("/v1/orders", json=BODY, headers=headers), status, name)
    answer = await checkout.post("/v1/orders", json=BODY, headers={"Idempotency-Key": "k"})
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_another_customers_order_is_not_found(checkout: httpx.AsyncClient, place: Place, signer: Signer) -> None:
    order_id = (await place(checkout, str(uuid4()))).json()["order_id"]
    headers = {"Authorization": f"Bearer {signer.customer('ben')}"}
    assert_problem(await checkout.get(f"/v1/orders/{order_id}", headers=headers), 404, "order-not-found")
    assert_problem(await checkout.get(f"/v1/orders/{uuid4()}", headers=headers), 404, "order-not-found")


async def cancelled(client: httpx.AsyncClient, signer: Signer, order_id: str, customer: str = "anna") -> httpx.Response:
    headers = {"Authorization": f"Bearer {signer.customer(customer)}"}
    return await client.post(f"/v1/orders/{order_id}/cancellation", headers=headers)


async def test_a_cancellation_is_accepted_once_however_often_it_is_asked(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection, signer: Signer
) -> None:
    order_id = (await place(checkout, str(uuid4()))).json()["order_id"]
    answers = await asyncio.gather(*(cancelled(checkout, signer, order_id) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].headers["location"] == f"/v1/orders/{order_id}"
    headers = {"Authorization": f"Bearer {signer.customer('anna')}"}
    found = (await checkout.get(f"/v1/orders/{order_id}", headers=headers)).json()
    assert (found["status"], found["cancellation"]) == ("placed", "asked")


@pytest.mark.parametrize("end", ["shipped", "rejected", "declined", "expired", "cancelled"])
async def test_an_order_that_has_ended_is_not_cancelled(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection, signer: Signer, end: str
) -> None:
    order_id = (await place(checkout, str(uuid4()))).json()["order_id"]
    await connection.execute("UPDATE orders SET status = $2 WHERE order_id = $1", order_id, end)
    problem = assert_problem(await cancelled(checkout, signer, order_id), 409, "order-ended")
    assert problem["order_status"] == end
    assert await connection.fetchval("SELECT cancellation FROM orders WHERE order_id = $1", order_id) is None


async def test_a_cancellation_waits_for_what_is_being_decided_about_its_order(
    checkout: httpx.AsyncClient, place: Place, connection: asyncpg.Connection, signer: Signer
) -> None:
    order_id = (await place(checkout, str(uuid4()))).json()["order_id"]
    async with connection.transaction():
        await connection.execute("UPDATE orders SET status = 'shipped' WHERE order_id = $1", order_id)
        asking = asyncio.create_task(cancelled(checkout, signer, order_id))
        await until_waiting(connection)
    assert_problem(await asking, 409, "order-ended")


async def until_waiting(connection: asyncpg.Connection) -> None:
    """Wait until somebody else waits for a lock that this connection's transaction holds."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    deadline = time.monotonic() + PATIENCE_S
    while not await connection.fetchval(query):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_another_customers_order_is_not_there_to_cancel(
    checkout: httpx.AsyncClient, place: Place, signer: Signer
) -> None:
    order_id = (await place(checkout, str(uuid4()))).json()["order_id"]
    assert_problem(await cancelled(checkout, signer, order_id, "ben"), 404, "order-not-found")
    assert_problem(await cancelled(checkout, signer, str(uuid4())), 404, "order-not-found")
    assert (await checkout.post(f"/v1/orders/{order_id}/cancellation")).status_code == 401


async def test_requests_are_measured_by_route(checkout: httpx.AsyncClient, place: Place) -> None:
    order_id = (await place(checkout, str(uuid4()))).json()["order_id"]
    await checkout.get(f"/v1/orders/{order_id}")
    measured = (await checkout.get("/metrics")).text
    assert 'waybill_http_requests_total{method="POST",route="/v1/orders",status="202"}' in measured
    assert 'route="/v1/orders/{order_id}",status="401"' in measured
    assert order_id not in measured


async def test_one_customers_flood_is_refused_and_no_others(
    open_checkout: Opened, place: Place, connection: asyncpg.Connection
) -> None:
    async with open_checkout(customer_requests_per_second=5) as client:
        await until_ready(client)
        answers = await asyncio.gather(*(place(client, str(uuid4()), customer="flood") for _ in range(12)))
        assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 7
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert_problem(refused, 429, "too-many-requests")
        assert refused.headers["retry-after"] == "1"
        assert (await place(client, str(uuid4()), customer="calm")).status_code == 202
        await asyncio.sleep(1.1)
        assert (await place(client, str(uuid4()), customer="flood")).status_code == 202


async def test_an_order_is_refused_while_too_many_are_ahead_of_it(
    open_checkout: Opened, place: Place, connection: asyncpg.Connection
) -> None:
    ahead = """
        INSERT INTO orders (order_id, customer_id, status, total_minor, currency, placed_at)
        SELECT gen_random_uuid(), 'ahead', CASE WHEN n <= $1 THEN 'paid' ELSE 'shipped' END, 1, 'EUR', now()
        FROM generate_series(1, $2::int) AS n"""
    async with open_checkout(orders_most_ahead=5) as client:
        await until_ready(client)
        assert (await place(client, str(uuid4()))).status_code == 202
        await connection.execute(ahead, SAMPLE // 2 + 1, SAMPLE + 5)
        await asyncio.sleep(LOOK_EVERY_S)
        refused = await place(client, str(uuid4()), json={"lines": "are not looked at"})
        assert_problem(refused, 503, "unavailable")
        assert refused.headers["retry-after"] == "1"
        assert "many orders are on their way" in refused.json()["detail"]
        assert (await client.get("/health/ready")).json()["ready"]
        await connection.execute(ahead, 0, SAMPLE)
        await asyncio.sleep(LOOK_EVERY_S)
        assert (await place(client, str(uuid4()))).status_code == 202


async def test_neighbours_that_are_stopped_for_ever_do_not_have_all_others_refused(
    open_checkout: Opened, place: Place, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        """
        INSERT INTO orders (order_id, customer_id, status, total_minor, currency, placed_at)
        SELECT gen_random_uuid(), 'ahead', CASE WHEN n BETWEEN 20 AND 80 THEN 'paid' ELSE 'shipped' END, 1, 'EUR', now()
        FROM generate_series(1, 3100) AS n"""
    )
    async with open_checkout(orders_most_ahead=3_000) as client:
        await until_ready(client)
        await asyncio.sleep(LOOK_EVERY_S)
        assert (await place(client, str(uuid4()))).status_code == 202


async def test_what_could_only_be_published_late_is_refused_until_the_outbox_has_room(
    open_checkout: Opened, place: Place, connection: asyncpg.Connection
) -> None:
    key = str(uuid4())
    async with open_checkout(outbox_most_rows=1) as client, connection.transaction():
        await until_ready(client)
        lock = "SELECT FROM relay WHERE name = 'checkout' FOR UPDATE"  # the relay waits for it
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL transaction_timeout = 0")
        await connection.execute(lock)
        deadline = time.monotonic() + PATIENCE_S
        while (answer := await place(client, str(uuid4()))).status_code == 202:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"
    async with open_checkout(outbox_most_rows=1) as client:
        await until_ready(client)
        while (await place(client, key)).status_code == 503:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
