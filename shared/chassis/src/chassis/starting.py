"""The work behind the requests: begun once it is known that we may do it, and ended with the service."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import workers_pool
from chassis.limiting import Backlog
from chassis.parts import Parts
from chassis.pruning import Pruner
from chassis.publishing import Publisher
from chassis.rights import check_rights, own_tables
from chassis.settings import ServiceSettings
from chassis.sweeping import Sweeper
from chassis.workers import Running, Start
from exactly_once import Codec, KafkaSettings, Loop, Needs, Outbox, Processor, Registry, Relay, check_permissions

WORKERS_CONNECTIONS = 4  # of their own: requests that take all of theirs must not stop the loop


async def start_work(app: FastAPI, settings: ServiceSettings, parts: Parts, opened: AsyncExitStack) -> None:
    """See that we may do our work, then begin it; HTTP answers meanwhile, and says that it is not ready."""
    start: Start = app.state.workers["start"]
    if settings.postgres_host:
        tables = own_tables(settings.service) | parts.library_tables
        await start.patiently(lambda: check_rights(app.state.database.engine, tables))
    if parts.works:
        kafka = settings.kafka()
        await start.patiently(lambda: check_permissions(kafka, app.state.needs))
        engine = workers_pool(settings, WORKERS_CONNECTIONS)
        opened.push_async_callback(engine.dispose)
        codec = await _codec(start, settings, parts, opened)
        if parts.publishes:
            _publish(app, parts, engine, kafka, codec)
        if parts.prunes:
            app.state.workers["pruning"] = Running("pruning", Pruner(parts.prunes, engine=engine))
        if parts.processor is not None:
            resources = await opened.enter_async_context(parts.resources(settings)) if parts.resources else []
            loop = Loop(
                parts.processor,
                engine=engine,
                kafka=kafka,
                codec=codec,
                instance=settings.instance,
                resources=resources,
            )
            app.state.workers["loop"] = Running("loop", loop)


async def end_work(app: FastAPI) -> None:
    """End the start, then the loop and the relay side by side: each bounds its own stop."""
    workers = app.state.workers
    await workers["start"].end()
    await asyncio.gather(*(worker.stop() for worker in workers.values() if isinstance(worker, Running)))


def needs_of(settings: ServiceSettings, parts: Parts) -> Needs:
    """Return what the service must be allowed to do at the brokers."""
    needs = Needs(settings.service)
    if parts.processor is not None:
        needs |= Needs.of_loop(parts.processor, settings.instance)
    if parts.publishes:
        needs |= Needs.of_relay(settings.service, parts.publishes)
    return needs


async def _codec(start: Start, settings: ServiceSettings, parts: Parts, opened: AsyncExitStack) -> Codec:
    registry = await opened.enter_async_context(Registry(settings.registry_url))
    processor = parts.processor or Processor(settings.service)
    emits = processor.emits | frozenset(parts.publishes)
    source = f"/waybill/{settings.service}"
    prefix = settings.names.prefix
    return await start.patiently(
        lambda: Codec.open(registry, source, emits=emits, handles=processor.handlers, prefix=prefix)
    )


def _publish(app: FastAPI, parts: Parts, engine: AsyncEngine, kafka: KafkaSettings, codec: Codec) -> None:
    """Take events of requests and of sweeps into the outbox, and relay them."""
    settings: ServiceSettings = app.state.settings
    relay = Relay(settings.service, engine=engine, kafka=kafka)
    outbox = Outbox(codec)
    exceeds = partial(outbox.exceeds, most=settings.outbox_most_rows)
    app.state.backlog = backlog = Backlog(exceeds, "what was accepted waits to be published")
    app.state.publisher = Publisher(app.state.database, outbox, relay, backlog)
    app.state.workers["relay"] = Running("relay", relay)
    if parts.sweeps:
        sweeper = Sweeper(parts.sweeps, engine=engine, outbox=outbox, relay=relay)
        app.state.workers["sweeps"] = Running("sweeps", sweeper)
