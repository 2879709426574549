"""A service as an application: its database, its loop and its relay live as long as it does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI

from chassis import health, logs, problems, tracing
from chassis.database import Database
from chassis.publishing import Publisher
from chassis.settings import ServiceSettings
from chassis.tokens import Tokens
from exactly_once import (
    Codec,
    Event,
    Halted,
    KafkaSettings,
    Loop,
    Outbox,
    Processor,
    Registry,
    Relay,
    Retryable,
)

RETRY_EVERY_S = 0.5

log = structlog.get_logger(__name__)

Resources = Callable[[Any], AbstractAsyncContextManager[list[Any]]]


@dataclass(frozen=True)
class Parts:
    """What a service consists of, beside its settings."""

    processor: Processor | None = None
    routers: Iterable[APIRouter] = ()
    publishes: Iterable[type[Event]] = ()
    resources: Resources | None = None
    state: dict[str, Any] = field(default_factory=dict)


def create_app(settings: ServiceSettings, **parts: Any) -> FastAPI:
    """Make a service from its parts (see `Parts`).

    `processor` consumes; `publishes` names the events that its HTTP requests tell, which is what it needs an outbox
    and a relay for; `resources` opens what its calls ask for by type; `state` is put into the app's state.
    """
    known = Parts(**parts)
    logs.configure(settings.log_level, settings.service, settings.instance)
    tracing.configure(settings.service, settings.instance)
    app = FastAPI(
        title=settings.service, lifespan=lambda app: _lifespan(app, settings, known), openapi_url="/openapi.json"
    )
    problems.install(app)
    app.include_router(health.router)
    for router in known.routers:
        app.include_router(router)
    app.state.settings = settings
    app.state.workers = {}
    for name, value in known.state.items():
        setattr(app.state, name, value)
    return app


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve until SIGTERM; a stop takes five seconds at most."""
    uvicorn.run(
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


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: ServiceSettings, parts: Parts) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        database = Database(settings)
        stack.push_async_callback(database.close)
        app.state.database = database
        app.state.tokens = Tokens(settings)
        if parts.processor is not None or parts.publishes:
            app.state.workers["start"] = start = _Start()
            starting = asyncio.create_task(start.watch(_start_workers(app, settings, parts, stack)))
            stack.push_async_callback(_cancelled, starting)
        yield


async def _start_workers(app: FastAPI, settings: ServiceSettings, parts: Parts, stack: AsyncExitStack) -> None:
    """Open what the loop and the relay need, and run them; HTTP answers meanwhile, and says that it is not ready."""
    database: Database = app.state.database
    kafka = KafkaSettings(
        bootstrap=settings.kafka_bootstrap,
        user=settings.kafka_user,
        password=settings.kafka_password_file.read_text().strip(),
        ca_file=settings.kafka_ca_file,
        prefix=settings.names.prefix,
    )
    registry = await stack.enter_async_context(Registry(settings.registry_url))
    processor = parts.processor or Processor(settings.service)
    emits = processor.emits | frozenset(parts.publishes)
    source = f"/waybill/{settings.service}"
    codec = await _patiently(
        lambda: Codec.open(registry, source, emits=emits, handles=processor.handlers, prefix=kafka.prefix), app
    )
    if parts.publishes:
        relay = Relay(settings.service, engine=database.engine, kafka=kafka)
        app.state.publisher = Publisher(database, Outbox(codec), relay)
        _run(app, stack, "relay", relay)
    if parts.processor is not None:
        opened = await stack.enter_async_context(parts.resources(settings)) if parts.resources else []
        loop = Loop(
            processor, engine=database.engine, kafka=kafka, codec=codec, instance=settings.instance, resources=opened
        )
        _run(app, stack, "loop", loop)


def _run(app: FastAPI, stack: AsyncExitStack, name: str, worker: Loop | Relay) -> None:
    app.state.workers[name] = worker
    task = asyncio.create_task(worker.run())
    stack.push_async_callback(asyncio.wait, {task})
    stack.push_async_callback(worker.stop)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _patiently(open_codec: Callable[[], Awaitable[Codec]], app: FastAPI) -> Codec:
    """Repeat what needs the registry until it answers and knows our schemas; `ready` says what is missing."""
    while True:
        try:
            return await open_codec()
        except (Retryable, Halted) as error:
            app.state.workers["start"].why = str(error)
            await asyncio.sleep(RETRY_EVERY_S)


class _Start:
    """The start itself, as one more worker whose health can be asked."""

    def __init__(self) -> None:
        self.why: str | None = "it has not started yet"

    def health(self) -> str | None:
        return self.why

    async def watch(self, starting: Coroutine[Any, Any, None]) -> None:
        try:
            await starting
        except Exception as error:
            self.why = f"it can't start: {error}"
            log.exception("start.failed")
        else:
            self.why = None
