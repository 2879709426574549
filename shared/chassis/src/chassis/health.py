"""Whether a service lives, whether it is ready and why not, and what it measures."""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import text

from chassis.database import Database
from chassis.limiting import Backlog

router = APIRouter(tags=["health"])


class Readiness(BaseModel):
    """Whether a service does its work, and what keeps it from that."""

    ready: bool
    why: str | None


NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Readiness, "description": "It does not: `why` says it"}}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Tell that the process answers."""
    return {"live": True}


@router.get("/health/ready", response_model=Readiness, responses=NOT_READY)
async def ready(request: Request) -> JSONResponse:
    """Tell whether the service does its work; 503 with the reason where it does not."""
    reasons = {name: worker.health() for name, worker in request.app.state.workers.items()}
    database: Database | None = getattr(request.app.state, "database", None)
    backlog: Backlog | None = getattr(request.app.state, "backlog", None)
    if database is not None:
        reasons["database"] = await _why_not(_ask(database))
    if database is not None and backlog is not None and not reasons["database"]:
        reasons["outbox"] = await _why_not(backlog.check(database))
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)
    status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
    return JSONResponse({"ready": not why, "why": why or None}, status)


@router.get("/metrics")
async def metrics() -> Response:
    """Return what this process measures, in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _ask(database: Database) -> None:
    async with database.own_statements() as connection:
        await connection.execute(text("SELECT 1"))


async def _why_not(asking: Awaitable[None]) -> str | None:
    try:
        await asking
    except Exception as error:  # noqa: BLE001  # any failure is the answer to the question
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None
