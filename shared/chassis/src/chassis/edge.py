"""What every request passes first: its trace, the limit of its body, its measure, and an answer even to a bug.

Under more load than a service can bear, most requests end here: refusing must cost it next to nothing.
"""

import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus

import structlog
from prometheus_client import Counter, Histogram
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import problems
from chassis.database import Database
from chassis.limiting import Backlog
from chassis.tracing import is_recorded, request_span

REQUESTS = Counter("waybill_http_requests_total", "Requests, by what was answered", ["method", "route", "status"])
SECONDS = Histogram(
    "waybill_http_seconds",
    "Time to the answer's first byte",
    ["method", "route"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)
DEFAULT_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
BUSY = "too many requests wait already; try again in a moment"
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

log = structlog.get_logger(__name__)


class Edge:
    """The outermost layer of an application; pure ASGI, since it runs for every request."""

    def __init__(self, app: ASGIApp, most_bytes: int, queues: Mapping[tuple[str, str], Backlog]) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._queues = queues
        self._is_recorded = is_recorded()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        with request_span(scope, recorded=self._is_recorded):
            measured = _Measured(scope, send)
            refusal = self._refusal(scope) or await self._too_long(scope)
            if refusal is not None:
                return await refusal(scope, receive, measured)
            try:
                await self._app(scope, receive, measured)
            except Exception as error:
                if measured.answered:  # too late for another answer: the server cuts the connection
                    raise
                await problems.bug(scope["path"], error)(scope, receive, measured)
        return None

    def _refusal(self, scope: Scope) -> Response | None:
        """Refuse a body that is too large, no JSON, or does not say how large it is, before a byte of it is read.

        Refuse any body while the database is busy: its request would have to wait for too long.
        """
        if scope["method"] not in METHODS_WITH_BODY:
            return None
        database: Database | None = getattr(scope["app"].state, "database", None)
        if database is not None and database.is_busy:
            return problems.refusal(BUSY)
        headers = dict(scope["headers"])
        if b"transfer-encoding" in headers:
            return problems.answer(HTTPStatus.LENGTH_REQUIRED, "length-required", "send the body with a Content-Length")
        if int(headers.get(b"content-length", b"0")) > self._most_bytes:
            detail = f"a body may have {self._most_bytes} bytes"
            return problems.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", detail)
        if headers.get(b"content-length", b"0") != b"0" and not _is_json(headers.get(b"content-type", b"")):
            detail = "the body must be application/json"
            return problems.answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
        return None

    async def _too_long(self, scope: Scope) -> Response | None:
        """Refuse what would only join a queue that is too long already."""
        queue = self._queues.get((scope["method"], scope["path"]))
        if queue is None:
            return None
        try:
            is_full = await queue.is_full(scope["app"].state.database)
        except Exception as error:  # noqa: BLE001  # the request would wait for the same database as long again
            log.warning("queue.unknown", error=type(error).__name__)
            return problems.refusal()
        return problems.refusal(queue.why) if is_full else None


def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


class _Measured:
    """Sends on, and notes the status and the time of the answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._started = time.perf_counter()
        self.answered = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answered = True
            route = getattr(self._scope.get("route"), "path", "none")
            answered, took = _measures(self._scope["method"], route, message["status"])
            answered.inc()
            took.observe(time.perf_counter() - self._started)
            message = {**message, "headers": _with_defaults(message["headers"])}
        await self._send(message)


@lru_cache(1_000)  # `labels` takes a lock and makes strings, each time
def _measures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(method, route)


def _with_defaults(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers; nobody guesses its type, frames it, or keeps what was not said to be kept."""
    given = list(headers)
    names = {name for name, _ in given}
    return given + [(name, value) for name, value in DEFAULT_HEADERS if name not in names]
