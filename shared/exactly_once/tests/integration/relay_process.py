"""A process that runs checkout's relay until it is killed; where PostgreSQL and Kafka are comes on standard input."""

import asyncio
import json
import sys
from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from exactly_once import KafkaSettings, Relay


async def main() -> None:
    """Run the relay."""
    told = json.loads(sys.stdin.readline())
    files = {name: Path(told["kafka"][name]) for name in ("credential", "ca_file")}
    kafka = KafkaSettings(**told["kafka"] | files)
    await Relay("checkout", engine=create_async_engine(told["url"]), kafka=kafka).run()


asyncio.run(main())
