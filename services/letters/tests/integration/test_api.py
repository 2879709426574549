"""Operators look at dead letters, and send them back, on real topics."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import confluent_kafka
import httpx
import pytest

from exactly_once.batch import Entry, Output, Partition, Record, Rejection
from exactly_once.dead_letters import letter
from letters import schemas
from waybill.audit.kafka import Topics
from waybill.stack import Stack
from waybill.token.signing import Signer

pytestmark = pytest.mark.integration

Opened = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
PATIENCE_S = 60.0


def a_record(number: int, topic: str = "orders", partition: int = 1) -> Record:
    headers = (("ce_id", b"id-%d" % number), ("ce_type", b"OrderPlaced"), ("ce_correlationid", b"journey"))
    return Record(Partition(topic, partition), number, 1_700_000_000_000, b"anna", b"value-%d" % number, headers)


def bury(stack: Stack, group: str, record: Record, kind: str = "rejected", *, partition: int = 0) -> None:
    """Write a dead letter as the group's loop does."""
    entry = Entry(record, f"id-{record.offset}", None)
    write(stack, letter(group, entry, Rejection(kind, f"why {record.offset}")), partition)


def write(stack: Stack, output: Output, partition: int) -> None:
    producer = confluent_kafka.Producer(stack.kafka_client("operator") | {"message.max.bytes": "3000000"})
    topic = stack.names.topic(output.out_topic)
    producer.produce(topic, output.value, output.key, partition, headers=list(output.headers))
    assert producer.flush(PATIENCE_S) == 0


def read(stack: Stack, topic: str) -> list[Any]:
    """Return what stands in a topic."""
    topics = Topics(stack)
    bounds = {place: each for place, each in topics.bounds().items() if place[0] == topic}
    return topics.committed_records(bounds)


@pytest.fixture(scope="module")
def buried(namespaced_stack: Stack) -> Stack:
    """Letters of two groups: accounting's 1, 2 and 3 in partition 0 and 4 in 2, inventory's 5."""
    for number, kind in ((1, "rejected"), (2, "undecodable"), (3, "bug")):
        bury(namespaced_stack, "accounting", a_record(number), kind)
    bury(namespaced_stack, "accounting", a_record(4, "orders.stock"), partition=2)
    bury(namespaced_stack, "inventory", a_record(5), "rejected", partition=1)
    return namespaced_stack


async def listed(letters: httpx.AsyncClient, path: str = "/v1/dead-letters") -> tuple[list[str], str | None]:
    """Return the ids on a page, and where the next one is."""
    answer = await letters.get(path)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["letters"]], answer.json()["links"].get("next")


ALL = ["accounting.0.0", "accounting.0.1", "accounting.0.2", "accounting.2.0", "inventory.1.0"]


async def test_letters_are_listed_page_by_page_and_by_what_is_asked_for(
    letters: httpx.AsyncClient, buried: Stack
) -> None:
    assert await listed(letters) == (ALL, None)
    pages, path = [], "/v1/dead-letters?limit=2"
    while path:
        ids, following = await listed(letters, path)
        pages.append(ids)
        path = following or ""
    assert pages == [ALL[:2], ALL[2:4], ALL[4:]]
    for asked, ids in (("group=inventory", ALL[4:]), ("topic=orders.stock", ALL[3:4]), ("kind=bug", ALL[2:3])):
        assert await listed(letters, f"/v1/dead-letters?{asked}") == (ids, None)
    ids, following = await listed(letters, "/v1/dead-letters?kind=rejected&limit=1")
    assert (ids, await listed(letters, following or "")) == (
        ALL[:1],
        (ALL[3:4], "/v1/dead-letters?kind=rejected&after=accounting.2.0&limit=1"),
    )


async def test_a_letter_tells_where_its_record_stopped_and_why_and_shows_it_to_who_may_redrive_it(
    letters: httpx.AsyncClient, buried: Stack, signer: Signer
) -> None:
    seen = (await letters.get("/v1/dead-letters/accounting.0.1")).json()
    at = seen.pop("at")
    assert at.startswith("20")
    assert seen == {
        "id": "accounting.0.1", "group": "accounting", "topic": "orders", "partition": 1, "offset": 2,
        "timestamp_ms": 1_700_000_000_000, "event_id": "id-2", "event_type": "OrderPlaced", "correlation_id": "journey",
        "attempt": 0, "kind": "undecodable", "why": "why 2",
        "links": {"self": "/v1/dead-letters/accounting.0.1", "redrive": "/v1/dead-letters/accounting.0.1/redrive"},
        "record": {
            "key": b64encode(b"anna").decode(), "value": b64encode(b"value-2").decode(), "value_bytes": 7,
            "headers": [
                {"name": "ce_id", "value": b64encode(b"id-2").decode()},
                {"name": "ce_type", "value": b64encode(b"OrderPlaced").decode()},
                {"name": "ce_correlationid", "value": b64encode(b"journey").decode()},
            ],
        },
    }  # fmt: skip
    reader = signer._sign("operator", "ops:read", 60)  # noqa: SLF001  # `waybill token` makes no such one
    to_a_reader = await letters.get("/v1/dead-letters/accounting.0.1", headers={"Authorization": f"Bearer {reader}"})
    assert to_a_reader.json() == seen | {"at": at, "record": None}
    refused = await letters.post(
        "/v1/dead-letters/accounting.0.1/redrive", headers={"Authorization": f"Bearer {reader}"}
    )
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")


async def test_only_operators_see_letters(letters: httpx.AsyncClient, signer: Signer) -> None:
    for token, status in (("forged", 401), (signer.customer("anna"), 403)):
        headers = {"Authorization": f"Bearer {token}"}
        answers = [await letters.get(path, headers=headers) for path in ("/v1/dead-letters", "/v1/dead-letters/a.0.0")]
        assert [answer.status_code for answer in answers] == [status, status]


async def test_a_large_record_is_shown_in_part(letters: httpx.AsyncClient, buried: Stack) -> None:
    value = bytes(900_000)
    bury(buried, "checkout", a_record(6)._replace(value=value))
    shown = (await letters.get("/v1/dead-letters/checkout.0.0")).json()["record"]
    assert shown["value_bytes"] == len(value)
    assert shown["value"] == b64encode(value[: schemas.MOST_BYTES]).decode()


async def test_a_letter_is_sent_to_where_it_came_from_as_often_as_one_asks(
    letters: httpx.AsyncClient, buried: Stack
) -> None:
    answers = [await letters.post("/v1/dead-letters/accounting.2.0/redrive") for _ in range(2)]
    assert {answer.status_code for answer in answers} == {202}
    told = [answer.json() for answer in answers]
    assert [each["offset"] for each in told] == [0, 1]
    assert {(each["id"], each["topic"], each["partition"], each["event_id"]) for each in told} == {
        ("accounting.2.0", "orders.stock", 1, "id-4")
    }
    first, second = await asyncio.to_thread(read, buried, "orders.stock")
    assert (first.key, first.value, dict(first.headers)) == (second.key, second.value, dict(second.headers))
    assert (first.place.partition, first.key, first.value) == (1, b"anna", b"value-4")
    assert list(first.headers.items())[-3:] == [
        ("redrive_group", b"accounting"), ("redrive_event_id", b"id-4"), ("redrive_attempt", b"0"),
    ]  # fmt: skip


@pytest.mark.parametrize("nowhere", ["accounting.0.99", "accounting.9.0", "nobody.0.0", "inventory.0.0"])
async def test_what_is_no_letter_is_not_found(letters: httpx.AsyncClient, buried: Stack, nowhere: str) -> None:
    for answer in (
        await letters.get(f"/v1/dead-letters/{nowhere}"),
        await letters.post(f"/v1/dead-letters/{nowhere}/redrive"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/dead-letter-not-found")


async def test_a_record_that_only_lies_among_the_letters_is_none(letters: httpx.AsyncClient, buried: Stack) -> None:
    half = Output(Partition("orders", 0), 0, "fulfillment.dead-letters", b"k", b"v", (("dlq_topic", b"orders"),))
    write(buried, half, 0)
    assert (await letters.get("/v1/dead-letters/fulfillment.0.0")).status_code == 404
    assert await listed(letters, "/v1/dead-letters?group=fulfillment") == ([], None)


@pytest.mark.parametrize(
    "wrong", ["/accounting", "/accounting.0.-1", "/accounting.0.1e3", "?after=x", "?limit=0", "?kind=x"]
)
async def test_what_can_be_no_letter_is_refused(letters: httpx.AsyncClient, wrong: str) -> None:
    answer = await letters.get(f"/v1/dead-letters{wrong}")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")


async def test_a_record_whose_place_is_gone_or_closed_or_too_small_is_not_redrivable(
    letters: httpx.AsyncClient, buried: Stack
) -> None:
    strange = (
        a_record(7, "orders", 99),
        a_record(8, "no-such-topic"),
        a_record(9, "orders.status"),
        a_record(10)._replace(value=bytes(1_100_000)),
    )
    for record in strange:
        bury(buried, "fulfillment", record, partition=2)
    for offset in range(len(strange)):
        answer = await letters.post(f"/v1/dead-letters/fulfillment.2.{offset}/redrive")
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not-redrivable"), offset


async def test_a_kafka_that_is_away_is_told_soon_and_readiness_says_so(open_letters: Opened, signer: Signer) -> None:
    async with open_letters(kafka_bootstrap="127.0.0.1:1") as client:
        client.headers["Authorization"] = f"Bearer {signer.operator()}"
        began = time.monotonic()
        answer = await client.get("/v1/dead-letters")
        ready = await client.get("/health/ready")
    assert time.monotonic() - began < 8
    assert (answer.status_code, answer.json()["type"], answer.headers["retry-after"]) == (
        503,
        "/problems/unavailable",
        "1",
    )
    assert (ready.status_code, "letters can't read from 127.0.0.1:1" in ready.json()["why"]) == (503, True)
