"""The letters' service as an application: its routes, and a way to Kafka that is its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

import chassis
from chassis.workers import Start
from contracts import SERVICES
from exactly_once.letters import Letters
from letters.api import router
from letters.settings import Settings


def create_letters(settings: Settings) -> FastAPI:
    """Return the application; it is ready once Kafka has let it in."""
    routes = APIRouter(lifespan=lambda app: _opened(app, settings))
    routes.include_router(router)
    return chassis.create_app(settings, routers=[routes])


@asynccontextmanager
async def _opened(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    app.state.letters = letters = Letters(settings.kafka(), SERVICES)
    app.state.workers["start"] = start = Start()
    start.launch(start.patiently(letters.ask))
    try:
        yield
    finally:
        await start.end()
