from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asyncpg.exceptions import (
    AdminShutdownError,
    InternalClientError,
    LockNotAvailableError,
    TooManyConnectionsError,
    UndefinedTableError,
)
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from chassis import Problem, problems
from chassis.edge import Edge
from chassis.limiting import Backlog
from exactly_once import RejectRecord, Retryable

MOST_BYTES = 1 << 20


class Body(BaseModel, extra="forbid"):
    units: int


FAILURES: dict[str, Exception] = {
    "problem": Problem(409, "order-ended", "it is shipped", order_status="shipped", headers={"X-Why": "late"}),
    "large": RejectRecord("more than a record may have"),
    "retryable": Retryable("PostgreSQL: gone"),
    "pool": PoolTimeoutError(),
    "cut": OSError("connection reset"),
    "leaving": InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    "taken": LockNotAvailableError("taken"),
    "full": TooManyConnectionsError("full"),
    "wrapped": DBAPIError("SELECT", {}, AdminShutdownError("going down")),
    "wrong": UndefinedTableError("no such table"),
    "bug": ZeroDivisionError("secret"),
}


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


class Busy:
    """Stands in the place of a database."""

    is_busy = False
    queue: bool | None = False

    @asynccontextmanager
    async def own_statements(self) -> AsyncIterator[None]:
        yield None

    async def is_queue_full(self, _: AsyncConnection) -> bool:
        if self.queue is None:
            raise OSError("connection refused")
        return self.queue


@pytest.fixture
def database() -> Busy:
    return Busy()


@pytest.fixture
def client(database: Busy) -> AsyncClient:
    app = FastAPI()
    app.state.database = database
    problems.install(app)
    queues = {("POST", "/queued"): Backlog(database.is_queue_full, "many wait")}
    app.add_middleware(Edge, most_bytes=MOST_BYTES, queues=queues)

    @app.get("/fails/{name}")
    async def fail(name: str) -> None:
        raise FAILURES[name]

    @app.post("/units")
    async def take(body: Body) -> int:
        return body.units

    @app.post("/queued")
    async def join(body: Body) -> int:
        return body.units

    @app.get("/units")
    async def look() -> int:
        return 1

    return AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://service")


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("problem", 409, "order-ended"),
        ("large", 413, "too-large"),
        ("retryable", 503, "unavailable"),
        ("pool", 503, "unavailable"),
        ("cut", 503, "unavailable"),
        ("leaving", 503, "unavailable"),
        ("taken", 409, "in-flight"),
        ("full", 503, "unavailable"),
        ("wrapped", 503, "unavailable"),
        ("wrong", 500, "bug"),
        ("bug", 500, "bug"),
    ],
)
async def test_every_failure_is_a_problem_of_its_kind(client: AsyncClient, name: str, status: int, kind: str) -> None:
    answer = await client.get(f"/fails/{name}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["type"], answer.json()["status"]) == (status, f"/problems/{kind}", status)
    assert len(answer.json()["trace_id"]) == 32
    assert ("retry-after" in answer.headers) == (kind in {"unavailable", "in-flight"})


async def test_a_problem_carries_its_members_and_headers(client: AsyncClient) -> None:
    answer = await client.get("/fails/problem")
    assert (answer.json()["detail"], answer.json()["order_status"]) == ("it is shipped", "shipped")
    assert answer.headers["x-why"] == "late"


async def test_a_bug_tells_its_victim_nothing_of_itself_and_the_log_everything(
    client: AsyncClient, logs: list[Any]
) -> None:
    assert "secret" not in (await client.get("/fails/bug")).text
    (entry,) = [entry for entry in logs if entry["event"] == "request.bug"]
    assert (entry["path"], entry["exc_info"]) == ("/fails/bug", FAILURES["bug"])


async def test_what_is_not_there_and_what_is_not_allowed_are_problems(client: AsyncClient) -> None:
    assert (await client.get("/nowhere")).json()["type"] == "/problems/not-found"
    assert (await client.patch("/units", json={})).json()["type"] == "/problems/method-not-allowed"


@pytest.mark.parametrize(
    "content",
    [b"{", b'"\xff"', b"[" * 100_000, b'{"units": ' + b"1" * 5_000 + b"}"],
    ids=["no JSON", "no UTF-8", "too deep", "too many digits"],
)
async def test_a_body_that_cannot_be_read_is_malformed(client: AsyncClient, content: bytes) -> None:
    answer = await client.post("/units", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


async def test_a_body_that_is_json_but_wrong_is_invalid(client: AsyncClient) -> None:
    invalid = await client.post("/units", json={"units": "many"})
    assert (invalid.status_code, invalid.json()["type"]) == (422, "/problems/invalid")
    assert invalid.json()["errors"][0]["field"] == "body.units"


@pytest.mark.parametrize(
    "unknown", [[f"k{i}" for i in range(50_000)], [f"{i}" * 10_000 for i in range(50)]], ids=["many", "long"]
)
async def test_whatever_is_wrong_with_a_body_the_answer_is_small_and_says_that_there_is_more(
    client: AsyncClient, unknown: list[str]
) -> None:
    answer = await client.post("/units", json=dict.fromkeys(unknown, 0))
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
    assert (len(answer.json()["errors"]), answer.json()["errors"][0]["field"]) == (20, "body.units")
    assert answer.json()["detail"].endswith(f"the first 20 of {len(unknown) + 1} errors are told")
    assert len(answer.content) < 10_000


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(client: AsyncClient) -> None:
    answer = await client.post("/units", content=b" " * (MOST_BYTES + 1))
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
    assert (await client.post("/units", json={"units": 1})).json() == 1


async def test_a_body_of_unknown_length_is_refused(client: AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    answer = await client.post("/units", content=pieces())
    assert (answer.status_code, answer.json()["type"]) == (411, "/problems/length-required")


async def test_while_the_database_is_busy_no_body_is_read_and_who_sent_it_is_told_when_to_come_again(
    client: AsyncClient, database: Busy
) -> None:
    read = list[bytes]()

    async def body() -> AsyncIterator[bytes]:
        read.append(b'{"units": 1}')
        yield read[-1]

    headers = {"Content-Type": "application/json", "Content-Length": "12"}
    database.is_busy = True
    answer = await client.post("/units", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["type"], answer.headers["retry-after"]) == (
        503,
        "/problems/unavailable",
        "1",
    )
    assert answer.json()["detail"].startswith("too many requests wait")
    assert (await client.get("/units")).status_code == 200
    database.is_busy = False
    assert not read
    assert (await client.post("/units", content=body(), headers=headers)).status_code == 200


@pytest.mark.parametrize(("queue", "status"), [(True, 503), (False, 200), (None, 503)])
async def test_who_would_join_a_queue_that_is_full_is_refused_and_nobody_else(
    client: AsyncClient, database: Busy, *, queue: bool | None, status: int
) -> None:
    """Where nobody knows how long the queue is, who asked would wait for the same database as long again."""
    database.queue = queue
    answer = await client.post("/queued", json={"units": 1})
    assert answer.status_code == status
    if status == 503:
        assert answer.json()["detail"] == ("many wait; " if queue else "") + "try again in a moment"
        assert answer.headers["retry-after"] == "1"
    assert (await client.post("/units", json={"units": 1})).status_code == 200


async def test_a_callers_trace_goes_on(client: AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await client.get("/fails/problem", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.json()["trace_id"] == trace


async def test_a_body_that_is_no_json_is_refused_unread(client: AsyncClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await client.post("/units", content=b'{"units": 1}', headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")
    for kind in ("application/json", "Application/JSON; charset=utf-8"):
        assert (await client.post("/units", content=b'{"units": 1}', headers={"Content-Type": kind})).status_code == 200


async def test_no_answer_is_kept_framed_or_guessed_at_unless_it_says_so(client: AsyncClient) -> None:
    for answer in (await client.get("/fails/problem"), await client.get("/nowhere")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


async def test_an_address_names_all_that_can_be_done_there(client: AsyncClient) -> None:
    answer = await client.delete("/units")
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert answer.headers["allow"] == "GET, POST"
