"""Every error over HTTP is a problem (RFC 9457): a stable type, what went wrong, and the trace to look it up by."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from asyncpg import PostgresError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from chassis.problem_types import MEDIA_TYPE, SCHEMA
from chassis.tracing import current_trace_id
from exactly_once import RejectRecord, Retryable
from exactly_once.transactions import AWAY, is_bug

RETRY_AFTER_S = 1
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
LOCK_NOT_AVAILABLE = "55P03"
MOST_ERRORS = 20  # that are told of one request: there may be as many as its body has fields
LONGEST_FIELD = 200

log = structlog.get_logger(__name__)


class Problem(Exception):  # the RFC's own word
    """Ends a request with a problem. `name` is the last part of its type, /problems/<name>."""

    def __init__(self, status: int, name: str, detail: str, **members: Any) -> None:
        """`members`, plain as JSON is, become members of the problem; `headers` among them the answer's headers."""
        super().__init__(detail)
        self.status = status
        self.name = name
        self.headers: Mapping[str, str] = members.pop("headers", {})
        self.members = members


def install(app: FastAPI) -> None:
    """Answer every error of this app with a problem, and describe what that is in its OpenAPI document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(RejectRecord, _too_large)
    for passing in (*AWAY, Retryable):
        app.add_exception_handler(passing, _unavailable)
    for refused in (DBAPIError, PostgresError):
        app.add_exception_handler(refused, _database_error)
    app.add_exception_handler(Exception, _bug)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = SCHEMA
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it


def answer(status: int, name: str, detail: str, **members: Any) -> JSONResponse:
    """Return a problem as an answer."""
    headers = members.pop("headers", {})
    trace_id = current_trace_id()
    traced = {"trace_id": trace_id} if trace_id else {}
    body = {"type": f"/problems/{name}", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body | traced | members, status, headers, MEDIA_TYPE)


def unavailable(detail: str) -> Problem:
    """Return what to raise where the same request may succeed in a moment."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers=headers)


def refusal(detail: str = "try again in a moment") -> JSONResponse:
    """Return the answer to a request that may succeed in a moment."""
    refused = unavailable(detail)
    return answer(refused.status, refused.name, str(refused), headers=refused.headers)


def bug(path: str, error: Exception) -> JSONResponse:
    """Log a bug and return what its victim is told: nothing but the trace to ask for."""
    log.error("request.bug", path=path, exc_info=error)
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "bug", "this is our fault; it is in the log")


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101  # registered for it alone
    return answer(error.status, error.name, str(error), **error.members, headers=error.headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for it alone
    name = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's word for JSON that breaks its parser
        name = "malformed"
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return answer(error.status_code, name, str(error.detail), headers=headers)


def _allowed(request: Request) -> list[str]:
    """Return what can be done at an address: the framework names the methods of its first route only."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    routes = request.app.router.routes
    return [name for name, scope in scopes.items() if any(each.matches(scope)[0] is Match.FULL for each in routes)]


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for it alone
    told = error.errors()[:MOST_ERRORS]
    errors = [{"field": ".".join(map(str, each["loc"]))[:LONGEST_FIELD], "why": each["msg"]} for each in told]
    if any(each["type"] == "json_invalid" for each in told):
        return answer(HTTPStatus.BAD_REQUEST, "malformed", "the body is not JSON", errors=errors)
    for each in told:  # headers come before the body
        if each["type"] == "missing" and each["loc"][0] == "header":
            name = str(each["loc"][-1])
            return answer(HTTPStatus.BAD_REQUEST, f"{name}-missing", f"the header {name.title()} is required")
    detail = "the request is not as it must be"
    if (found := len(error.errors())) > len(told):
        detail += f"; the first {len(told)} of {found} errors are told"
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors=errors)


async def _too_large(_: Request, error: Exception) -> JSONResponse:
    return answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", str(error))


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    log.warning("request.unavailable", path=request.url.path, error=type(error).__name__)
    return refusal()


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    """Tell a wrong statement (a bug) from a row that is taken and from a database that can't serve now."""
    assert isinstance(error, DBAPIError | PostgresError)  # noqa: S101  # registered for these alone
    if getattr(getattr(error, "orig", error), "sqlstate", None) == LOCK_NOT_AVAILABLE:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return answer(HTTPStatus.CONFLICT, "in-flight", "another request holds what this one needs", headers=headers)
    return bug(request.url.path, error) if is_bug(error) else await _unavailable(request, error)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    return bug(request.url.path, error)
