"""The library's loop as the services run it: claims, positions and outputs in PostgreSQL, then one Kafka transaction.

Told of no database, it runs without one, as a processor may that keeps nothing.

It commits at its own pace: at most 2,000 records a transaction, or 4,000 without a database, with a rest of three and
a half times what one usually takes. Only the benchmark of growth tells it another number.
"""

import asyncio
import signal
from pathlib import Path

import structlog
import uvloop
from hops_records import ParcelWeighed, PostagePriced, Schemas
from lane import Lane
from processors import stateful, stateless
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis.collecting import settle
from exactly_once import Codec, KafkaSettings, Loop


def engine_on(database: str) -> AsyncEngine:
    """Return an engine as the services have it."""
    return create_async_engine(make_url(database), connect_args={"server_settings": {"jit": "off"}})


async def main() -> None:
    """Run as the lane says, until SIGTERM."""
    lane = Lane.told()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    engine = engine_on(lane.postgres) if lane.postgres else None
    codec = await Codec.open(Schemas(), "/bench", emits=[PostagePriced], handles=[ParcelWeighed], prefix="")
    prefix = lane.input.removesuffix(ParcelWeighed.topic)
    kafka = KafkaSettings(lane.bootstrap, lane.user, Path(lane.password_file), Path(lane.ca_file), prefix)
    processor = (stateful if lane.keeps_state else stateless)(lane.group.removeprefix(prefix))
    loop = Loop(processor, engine=engine, kafka=kafka, codec=codec, most_records=lane.most_records)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(loop.stop()))
    settle()
    await loop.run()
    if engine is not None:
        await engine.dispose()


if __name__ == "__main__":
    uvloop.run(main())
