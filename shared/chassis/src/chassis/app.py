"""A service as an application: its database, its loop and its relay live as long as it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from chassis import health, problems, starting, tracing
from chassis.database import Database
from chassis.edge import Edge
from chassis.issuer import IssuerKeys
from chassis.limiting import Allowance
from chassis.parts import Parts
from chassis.settings import ServiceSettings
from chassis.tokens import Tokens, keys_of
from chassis.workers import Running, Start


def create_app(settings: ServiceSettings, **parts: Any) -> FastAPI:
    """Make a service from its parts (see `Parts`).

    `processor` consumes; `publishes` names the events that go out by the outbox, which is what it needs an outbox
    and a relay for, `sweeps` find the commands among them that time makes due; `prunes` delete what is kept no longer;
    `resources` opens what its calls ask for by type; `queues` refuse requests of a method at a path while too much is
    owed already; `state` is put into the app's state.
    """
    known = Parts(**parts)
    app = FastAPI(
        title=settings.service,
        lifespan=lambda app: _lifespan(app, settings, known),
        openapi_url="/openapi.json",
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the edge's own
    )
    problems.install(app)
    app.add_middleware(Edge, most_bytes=settings.http_most_bytes, queues=known.queues)
    for router in (*known.routers, health.router):  # tried in this order: the busiest first
        app.include_router(router)
    app.state.settings = settings
    app.state.needs = starting.needs_of(settings, known)
    app.state.workers = {}
    for name, value in known.state.items():
        setattr(app.state, name, value)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: ServiceSettings, parts: Parts) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        app.state.stopping = asyncio.Event()
        if settings.postgres_host:
            app.state.database = database = Database(settings)
            stack.push_async_callback(database.close)
        app.state.tokens = Tokens(settings, keys := keys_of(settings))
        app.state.allowance = Allowance(settings.customer_requests_per_second)
        opened = await stack.enter_async_context(AsyncExitStack())
        stack.push_async_callback(starting.end_work, app)  # before what they use is closed
        app.state.workers["start"] = start = Start(refused=getattr(app.state, "end", None))
        if isinstance(keys, IssuerKeys):
            app.state.workers["keys"] = Running("keys", keys)
        start.launch(starting.start_work(app, settings, parts, opened))
        yield
        tracing.flush()
