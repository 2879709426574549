"""A service as an application: its database, its loop and its relay live as long as it does."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import health, logs, problems, tracing
from chassis.database import Database, workers_pool
from chassis.edge import Edge
from chassis.limiting import Allowance, Backlog
from chassis.pruning import Prune, Pruner
from chassis.publishing import Publisher
from chassis.settings import ServiceSettings
from chassis.sweeping import Sweep, Sweeper
from chassis.tokens import Tokens
from chassis.workers import Running, Start
from exactly_once import Codec, Event, Loop, Outbox, Processor, Registry, Relay
from exactly_once.transactions import transaction

STARTUP_FAILED = 3
WORKERS_CONNECTIONS = 4  # of their own: requests that take all of theirs must not stop the loop

Resources = Callable[[Any], AbstractAsyncContextManager[list[Any]]]


@dataclass(frozen=True)
class Parts:
    """What a service consists of, beside its settings."""

    processor: Processor | None = None
    routers: Iterable[APIRouter] = ()
    publishes: Iterable[type[Event]] = ()
    sweeps: Iterable[Sweep] = ()
    prunes: Iterable[Prune] = ()
    resources: Resources | None = None
    state: dict[str, Any] = field(default_factory=dict)


def create_app(settings: ServiceSettings, **parts: Any) -> FastAPI:
    """Make a service from its parts (see `Parts`).

    `processor` consumes; `publishes` names the events that go out by the outbox, which is what it needs an outbox
    and a relay for, `sweeps` find the commands among them that time makes due; `prunes` delete what is kept no longer;
    `resources` opens what its calls ask for by type; `state` is put into the app's state.
    """
    known = Parts(**parts)
    app = FastAPI(
        title=settings.service, lifespan=lambda app: _lifespan(app, settings, known), openapi_url="/openapi.json"
    )
    problems.install(app)
    app.add_middleware(Edge, most_bytes=settings.http_most_bytes)
    app.include_router(health.router)
    for router in known.routers:
        app.include_router(router)
    app.state.settings = settings
    app.state.workers = {}
    for name, value in known.state.items():
        setattr(app.state, name, value)
    return app


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve until SIGTERM; a stop takes five seconds at most. This process's logs and traces are set up here."""
    logs.configure(settings.log_level, settings.service, settings.instance)
    tracing.configure(settings.service, settings.instance)
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        server_header=False,
    )
    server = _Server(config)
    server.run()
    if not server.started:
        raise SystemExit(STARTUP_FAILED)


class _Server(uvicorn.Server):
    """Says that it stops before it waits for the requests under way: a stream would never end by itself."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: FastAPI = self.config.app  # type: ignore[assignment]  # it was given one
        app.state.stopping.set()
        await super().shutdown(sockets)


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: ServiceSettings, parts: Parts) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        app.state.stopping = asyncio.Event()
        if settings.postgres_host:
            app.state.database = database = Database(settings)
            stack.push_async_callback(database.close)
        app.state.tokens = Tokens(settings)
        app.state.allowance = Allowance(settings.customer_requests_per_second)
        if parts.processor is not None or parts.publishes:
            opened = await stack.enter_async_context(AsyncExitStack())
            stack.push_async_callback(_stop_workers, app)  # before what they use is closed
            app.state.workers["start"] = start = Start()
            start.launch(_start_workers(app, settings, parts, opened))
        yield
        tracing.flush()


async def _start_workers(app: FastAPI, settings: ServiceSettings, parts: Parts, opened: AsyncExitStack) -> None:
    """Open what the loop and the relay need, and run them; HTTP answers meanwhile, and says that it is not ready."""
    start: Start = app.state.workers["start"]
    engine = workers_pool(settings, WORKERS_CONNECTIONS)
    opened.push_async_callback(engine.dispose)
    await start.patiently(lambda: _ask(engine))
    kafka = settings.kafka()
    registry = await opened.enter_async_context(Registry(settings.registry_url))
    processor = parts.processor or Processor(settings.service)
    emits = processor.emits | frozenset(parts.publishes)
    source = f"/waybill/{settings.service}"
    codec = await start.patiently(
        lambda: Codec.open(registry, source, emits=emits, handles=processor.handlers, prefix=kafka.prefix)
    )
    if parts.publishes:
        relay = Relay(settings.service, engine=engine, kafka=kafka)
        outbox = Outbox(codec)
        app.state.backlog = backlog = Backlog(app.state.database, outbox, settings.outbox_most_rows)
        app.state.publisher = Publisher(app.state.database, outbox, relay, backlog)
        app.state.workers["relay"] = Running("relay", relay)
        if parts.sweeps:
            sweeper = Sweeper(parts.sweeps, engine=engine, outbox=outbox, relay=relay)
            app.state.workers["sweeps"] = Running("sweeps", sweeper)
    if parts.prunes:
        app.state.workers["pruning"] = Running("pruning", Pruner(parts.prunes, engine=engine))
    if parts.processor is not None:
        resources = await opened.enter_async_context(parts.resources(settings)) if parts.resources else []
        loop = Loop(processor, engine=engine, kafka=kafka, codec=codec, instance=settings.instance, resources=resources)
        app.state.workers["loop"] = Running("loop", loop)


async def _ask(engine: AsyncEngine) -> None:
    """Ask the database anything. Retryable, with its sentence, where it refuses."""
    async with transaction(engine) as connection:
        await connection.execute(text("SELECT 1"))


async def _stop_workers(app: FastAPI) -> None:
    """End the start, then the loop and the relay side by side: each bounds its own stop."""
    workers = app.state.workers
    await workers["start"].end()
    await asyncio.gather(*(worker.stop() for worker in workers.values() if isinstance(worker, Running)))
