"""Secrets go in wherever they can, and something goes wrong with each; then all that was written is searched."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import confluent_kafka
import httpx
import psutil
import pytest

from waybill.local import shop, state
from waybill.local.launch import services
from waybill.stack import Stack
from waybill.testing import leaks
from waybill.token.signing import Signer

pytestmark = pytest.mark.integration

DEADLINE_S = 40.0
MARK = secrets.token_hex(8)  # part of every secret that is planted
ORDER = {"lines": [{"sku": "kettle", "quantity": 1}], "payment_token": f"tok_ok_{MARK}"}
CHARGE = {"amount": {"amount_minor": 1, "currency": "EUR"}, "payment_token": f"tok_ok_{MARK}", "reference": "order"}
REFUSED_IN = {
    "checkout": f"ALTER TABLE idempotency_keys ADD CONSTRAINT planted CHECK (key <> '{MARK}')",
    "accounting": f"ALTER TABLE payments ADD CONSTRAINT planted CHECK (payment_token NOT LIKE '%{MARK}%')",
    "payment_gateway": f"ALTER TABLE ledger ADD CONSTRAINT planted CHECK (payment_token NOT LIKE '%{MARK}%')",
}
PRICE = "INSERT INTO products VALUES ('kettle', 'A kettle', 3490, 'EUR')"


@dataclass
class Written:
    """Everything that was written where anybody may look: by its place."""

    namespace: str
    answers: dict[str, str] = field(repr=False)
    letters: list[dict[str, str]] = field(default_factory=list)
    raw_letters: str = field(default="", repr=False)
    leaks: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict, repr=False)
    processes: dict[str, str] = field(default_factory=dict, repr=False)

    def places_with(self, text: str) -> list[str]:
        """Return where a text can be read."""
        named = {f"letter {number}": str(letter) for number, letter in enumerate(self.letters)}
        places = self.answers | named | self.files | self.processes
        return [place for place, written in places.items() if text in written]


async def plant(stack: Stack) -> None:
    """Let PostgreSQL refuse rows that hold the mark, so that each service has an error to tell of."""
    for service, statement in REFUSED_IN.items():
        operator = await asyncpg.connect(stack.postgres_dsn(service, "operator"), ssl=False)
        await operator.execute(statement)
        if service == "checkout":
            await operator.execute(PRICE)
        await operator.close()
    producer = confluent_kafka.Producer(stack.kafka_client("operator"))
    headers: Any = {"authorization": f"Bearer {MARK}"}
    producer.produce(stack.names.topic("orders"), f"poison {MARK}".encode(), key=b"anna", headers=headers)
    assert producer.flush(DEADLINE_S) == 0


async def asked(stack: Stack) -> dict[str, str]:
    """Send secrets in every place of a request, rightly and wrongly, and return what was answered."""
    checkout, gateway = stack.services["checkout"][0], stack.gateway_url
    customer = {"Authorization": f"Bearer {Signer(stack).customer('anna')}"}
    key = {"Authorization": f"Bearer {stack.secret('gateway-key-accounting')}"}
    wrong = {"Authorization": f"Bearer {MARK}", "Cookie": f"session={MARK}", "X-Api-Key": MARK}
    broken = {"content": f'{{"payment_token": "{MARK}"', "headers": {"Content-Type": "application/json"}}
    requests: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
        "202": (checkout, "/v1/orders", customer | {"Idempotency-Key": "an order"}, {"json": ORDER}),
        "401": (checkout, "/v1/orders", wrong | {"Idempotency-Key": MARK}, {"json": ORDER}),
        "400": (checkout, "/v1/orders", customer | {"Idempotency-Key": MARK}, broken),
        "422": (checkout, "/v1/orders", customer | {"Idempotency-Key": MARK}, {"json": {"payment_token": [MARK]}}),
        "500": (checkout, "/v1/orders", customer | {"Idempotency-Key": MARK}, {"json": ORDER}),
        "404": (checkout, f"/v1/nothing?access_token={MARK}", customer, {"json": ORDER}),
        "401 of the gateway": (gateway, "/v1/charges", wrong | {"Idempotency-Key": "charge"}, {"json": CHARGE}),
        "503 of the gateway": (gateway, "/v1/charges", key | {"Idempotency-Key": "charge"}, {"json": CHARGE}),
    }
    answers = {}
    async with httpx.AsyncClient(timeout=DEADLINE_S) as client:
        for name, (base, path, headers, body) in requests.items():
            answer = await client.post(base + path, headers=headers | body.pop("headers", {}), **body)
            assert str(answer.status_code) == name.partition(" ")[0], answer.text
            answers[name] = answer.text
        for url in (checkout, *stack.services["accounting"], gateway):
            for path in ("/metrics", "/health/ready", "/openapi.json"):
                answers[url + path] = (await client.get(url + path)).text
    return answers


def letters(stack: Stack, service: str, number: int) -> Iterator[confluent_kafka.Message]:
    """Yield a service's first dead letters."""
    own = {"group.id": stack.names.group("auditor"), "isolation.level": "read_committed"}
    consumer = confluent_kafka.Consumer(stack.kafka_client("auditor") | own)
    name = stack.names.topic(f"{service}.dead-letters")
    consumer.assign([confluent_kafka.TopicPartition(name, partition, 0) for partition in range(3)])
    deadline = time.monotonic() + DEADLINE_S
    while number and time.monotonic() < deadline:
        letter = consumer.poll(0.5)
        if letter is not None and letter.error() is None:
            number -= 1
            yield letter
    consumer.close()


def provenance(letter: confluent_kafka.Message) -> dict[str, str]:
    """Return what a list of dead letters shows: why and where each was written, not the record in it."""
    headers: Any = letter.headers() or []
    return {name: value.decode() for name, value in headers if name.startswith("dlq_")}


def own_processes() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if ".main" in " ".join(each.cmdline())]


def files_of(home: Path) -> dict[str, str]:
    """Read what a home holds, but for secrets and for what brokers and PostgreSQL store for those who may read it."""
    stored = {home / "secrets", home / "tls", home / "postgres", *(home / "kafka").glob("[0-9]")}
    return {
        str(file): file.read_text(errors="replace")
        for file in home.rglob("*")
        if file.is_file() and not stored & set(file.parents)
    }


@pytest.fixture(scope="module")
async def written(namespaced_stack: Stack) -> Written:
    shop.ensure_gateway_keys(namespaced_stack)
    async with services(namespaced_stack, only=("checkout", "accounting")) as stack:
        await plant(stack)
        found = Written(stack.namespace, await asked(stack))
        raw = list(letters(stack, "accounting", 2))
        now = state.read(stack.home)
        assert now is not None
        processes = [*own_processes(), psutil.Process(now.pid), *(psutil.Process(each.pid) for each in now.processes)]
        found.processes = {f"{each.name()} {each.pid}": f"{each.cmdline()} {each.environ()}" for each in processes}
        found.leaks = leaks(stack.home, [each.pid for each in processes])
    found.letters = [provenance(each) for each in raw]
    found.raw_letters = " ".join(f"{each.headers()} {each.value()!r}" for each in raw)
    found.files = files_of(namespaced_stack.home)
    return found


def test_what_is_secret_is_written_nowhere_but_where_it_belongs(written: Written) -> None:
    assert written.places_with(MARK) == []
    assert written.leaks == []


def test_each_planted_fault_was_told_of_without_its_secret(written: Written) -> None:
    """Else the search above would find nothing because there was nothing."""
    assert sorted(letter["dlq_kind"] for letter in written.letters) == ["bug", "undecodable"]
    assert f"Bearer {MARK}" in written.raw_letters  # the record itself is kept as it came
    told = {"request.bug": "checkout-1", "handler.bug": "accounting-1", "planted": "postgres"}
    for what, log in told.items():
        names = {Path(place).stem.removeprefix(f"{written.namespace}.") for place in written.places_with(what)}
        assert log in names, what
