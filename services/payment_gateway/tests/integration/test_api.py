import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from asgi_lifespan import LifespanManager

from payment_gateway.app import create_gateway
from payment_gateway.settings import Settings
from waybill.local import shop
from waybill.stack import Stack

pytestmark = pytest.mark.integration

KEYS = {"accounting": "key-of-accounting", "other": "key-of-another-client", "operator": "key-of-the-operator"}
AMOUNT = {"amount_minor": 1250, "currency": "EUR"}


@pytest.fixture(scope="module")
def settings(namespaced_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    environment = shop.migration_environment(namespaced_stack, "payment_gateway")
    subprocess.run([sys.executable, "-m", "chassis.migrate", "payment_gateway"], env=environment, check=True)
    keys: Path = tmp_path_factory.mktemp("gateway") / "keys.json"
    keys.write_text(json.dumps(KEYS))
    environment = shop.environment(namespaced_stack, "payment_gateway", "1", 23_161)
    given: dict[str, Any] = {name.removeprefix("WAYBILL_").lower(): value for name, value in environment.items()}
    return Settings.model_validate(given | {"gateway_keys_file": keys, "gateway_silence_s": 0.05})


@pytest.fixture(scope="module")
async def gateway(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with LifespanManager(create_gateway(settings)) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client


async def asked(
    gateway: httpx.AsyncClient, what: str, key: str, body: dict[str, Any], who: str = "accounting"
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEYS[who]}", "Idempotency-Key": key}
    return await gateway.post(f"/v1/{what}", json=body, headers=headers)


def a_charge(token: str = "tok_ok", **changes: Any) -> dict[str, Any]:
    return {"amount": AMOUNT, "payment_token": token, "reference": "an-order"} | changes


def a_refund(charge_id: str, **changes: Any) -> dict[str, Any]:
    return {"amount": AMOUNT, "charge_id": charge_id, "reference": "an-order"} | changes


async def charged(gateway: httpx.AsyncClient, token: str = "tok_ok") -> str:
    answer = await asked(gateway, "charges", str(uuid4()), a_charge(token))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["charge_id"])


async def entries(gateway: httpx.AsyncClient, charge_id: str) -> list[dict[str, Any]]:
    headers, after, found = {"Authorization": f"Bearer {KEYS['operator']}"}, 0, []
    while after is not None:
        page = (await gateway.get("/v1/ledger", params={"after": after, "limit": 7}, headers=headers)).json()
        found += [entry for entry in page["entries"] if entry["charge_id"] == charge_id]
        after = page["next"]
    return found


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [entry["kind"] for entry in found]


async def test_a_charge_takes_the_money_once_however_often_it_is_asked(gateway: httpx.AsyncClient) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(asked(gateway, "charges", key, a_charge()) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    (charge_id,) = {answer.json()["charge_id"] for answer in answers}
    (entry,) = await entries(gateway, charge_id)
    assert (entry["kind"], entry["amount"], entry["reference"], entry["refund_id"]) == (
        "capture",
        AMOUNT,
        "an-order",
        None,
    )


async def test_a_key_stands_for_one_charge_of_one_client(gateway: httpx.AsyncClient) -> None:
    key = str(uuid4())
    first = await asked(gateway, "charges", key, a_charge())
    other_body = await asked(gateway, "charges", key, a_charge(reference="another-order"))
    assert (other_body.status_code, other_body.json()["type"]) == (422, "/problems/idempotency-key-reused")
    other_client = await asked(gateway, "charges", key, a_charge(), who="other")
    assert other_client.json()["charge_id"] != first.json()["charge_id"]


async def test_a_declined_charge_moves_nothing(gateway: httpx.AsyncClient) -> None:
    answer = await asked(gateway, "charges", str(uuid4()), a_charge("tok_declined"))
    assert (answer.status_code, answer.json()["detail"]) == (402, "declined by the issuer")


async def test_a_charge_that_nobody_hears_of_is_told_when_asked_again(gateway: httpx.AsyncClient) -> None:
    key, body = str(uuid4()), a_charge("tok_timeout_after_charge")
    assert (await asked(gateway, "charges", key, body)).status_code == 504
    again = await asked(gateway, "charges", key, body)
    assert kinds(await entries(gateway, again.json()["charge_id"])) == ["capture"]


async def test_a_refund_gives_the_money_back_once_however_often_it_is_asked(gateway: httpx.AsyncClient) -> None:
    charge_id, key = await charged(gateway), str(uuid4())
    answers = await asyncio.gather(*(asked(gateway, "refunds", key, a_refund(charge_id)) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    (refund_id,) = {answer.json()["refund_id"] for answer in answers}
    capture, refund = await entries(gateway, charge_id)
    assert (capture["kind"], refund["kind"], refund["refund_id"]) == ("capture", "refund", refund_id)
    assert (refund["amount"], refund["reference"], refund["idempotency_key"]) == (AMOUNT, "an-order", key)


async def test_of_twins_that_come_at_one_moment_none_is_refused(gateway: httpx.AsyncClient) -> None:
    for _ in range(60):  # a race: before it was mended, one of 800 was told that its key is another charge's
        charge_id, key = await charged(gateway), str(uuid4())
        answers = await asyncio.gather(*(asked(gateway, "refunds", key, a_refund(charge_id)) for _ in range(8)))
        assert [answer.status_code for answer in answers] == [201] * 8


@pytest.mark.parametrize(
    ("token", "statuses"), [("tok_refund_timeout", [504, 201, 201]), ("tok_refund_flaky", [503, 503, 201, 201])]
)
async def test_a_refund_that_fails_on_the_way_is_safe_to_repeat(
    gateway: httpx.AsyncClient, token: str, statuses: list[int]
) -> None:
    charge_id, key = await charged(gateway, token), str(uuid4())
    answers = [await asked(gateway, "refunds", key, a_refund(charge_id)) for _ in statuses]
    assert [answer.status_code for answer in answers] == statuses
    assert kinds(await entries(gateway, charge_id)) == ["capture", "refund"]


async def test_a_charge_is_refunded_under_one_key_and_a_key_refunds_one_charge(gateway: httpx.AsyncClient) -> None:
    first, second, key = await charged(gateway), await charged(gateway), str(uuid4())
    assert (await asked(gateway, "refunds", key, a_refund(first))).status_code == 201
    another_key = await asked(gateway, "refunds", str(uuid4()), a_refund(first))
    another_charge = await asked(gateway, "refunds", key, a_refund(second))
    for answer in (another_key, another_charge):
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert kinds(await entries(gateway, first)) == ["capture", "refund"]
    assert kinds(await entries(gateway, second)) == ["capture"]


async def test_a_refund_is_of_the_whole_charge(gateway: httpx.AsyncClient) -> None:
    charge_id = await charged(gateway)
    for amount in (AMOUNT | {"amount_minor": 1249}, AMOUNT | {"currency": "USD"}):
        answer = await asked(gateway, "refunds", str(uuid4()), a_refund(charge_id, amount=amount))
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/not-the-charge")
    assert kinds(await entries(gateway, charge_id)) == ["capture"]


async def test_what_was_never_captured_or_is_another_clients_can_not_be_refunded(gateway: httpx.AsyncClient) -> None:
    charge_id = await charged(gateway)
    for answer in (
        await asked(gateway, "refunds", str(uuid4()), a_refund("ch_none")),
        await asked(gateway, "refunds", str(uuid4()), a_refund(charge_id), who="other"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/no-such-charge")


@pytest.mark.parametrize("what", ["charges", "refunds"])
async def test_a_malformed_request_is_a_problem(gateway: httpx.AsyncClient, what: str) -> None:
    answer = await asked(gateway, what, str(uuid4()), {"amount": AMOUNT | {"amount_minor": -1}})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
    headers = {"Authorization": f"Bearer {KEYS['accounting']}"}
    assert (await gateway.post(f"/v1/{what}", json=a_charge(), headers=headers)).status_code == 400  # no key


async def test_each_key_opens_its_own_doors_only(gateway: httpx.AsyncClient) -> None:
    for what in ("charges", "refunds"):
        assert (await asked(gateway, what, "key", a_charge(), who="operator")).status_code == 403
    clients = {"Authorization": f"Bearer {KEYS['accounting']}"}
    assert (await gateway.get("/v1/ledger", headers=clients)).status_code == 403
    assert (await gateway.get("/v1/ledger", headers={"Authorization": "Bearer nonsense"})).status_code == 401
    assert (await gateway.get("/v1/ledger")).status_code == 401
