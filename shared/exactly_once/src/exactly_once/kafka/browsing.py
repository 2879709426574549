"""Reads records by their places, and sends single ones, for people: no group, no position, no transaction."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import TopicPartition

from exactly_once.batch import Partition, Record
from exactly_once.errors import RejectRecord, Retryable
from exactly_once.kafka.closing import closed
from exactly_once.kafka.settings import PRODUCER_REQUEST_TIMEOUT_MS, KafkaSettings
from exactly_once.redrive import Redriven

DEADLINE_S = 5.0
QUIET_MS = 500  # a partition that gives nothing for so long has an open transaction before its end
LARGEST_REQUEST = 4 << 20


@dataclass(frozen=True)
class Browser:
    """A connection for reading, topics by their logical names. Made by `browsing`."""

    consumer: AIOKafkaConsumer
    prefix: str

    async def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """Return the partitions of those of these topics that we may see, in order."""
        known = await self.consumer._client.fetch_all_metadata()
        return sorted(
            Partition(topic, number)
            for topic in topics
            for number in known.partitions_for_topic(self.prefix + topic) or ()
        )

    async def records(self, starts: Mapping[Partition, int]) -> AsyncIterator[Record]:
        """Yield what is committed in these partitions, one after the other, each from an offset on, or what is kept."""
        places = [TopicPartition(self.prefix + topic, number) for topic, number in starts]
        begins, ends = await self.consumer.beginning_offsets(places), await self.consumer.end_offsets(places)
        for place, (partition, start) in zip(places, starts.items(), strict=True):
            async for found in self._from(place, max(start, begins[place]), ends[place]):
                yield Record(partition, found.offset, found.timestamp, found.key, found.value, tuple(found.headers))

    async def _from(self, place: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
        if start >= end:
            return
        self.consumer.assign([place])
        self.consumer.seek(place, start)
        while (position := await self.consumer.position(place)) < end:
            fetched = await self.consumer.getmany(timeout_ms=QUIET_MS)
            for record in fetched.get(place, []):
                yield record
            if await self.consumer.position(place) == position:
                return


@asynccontextmanager
async def browsing(settings: KafkaSettings) -> AsyncIterator[Browser]:
    """Yield a browser for a block of DEADLINE_S at most. Retryable: the brokers did not answer, or refused."""
    consumer = AIOKafkaConsumer(
        **settings.client_options(f"{settings.user}.browser"),
        isolation_level="read_committed",
        auto_offset_reset="none",
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            await consumer.start()
            yield Browser(consumer, settings.prefix)
    except (KafkaError, TimeoutError, UnicodeDecodeError) as error:  # the last: a header's name is none
        raise Retryable(f"user {settings.user} can't read from {settings.bootstrap}: {error!r}") from error
    finally:
        await closed(consumer.stop(), deadline_s=0)  # nobody needs to wait for it


async def send(settings: KafkaSettings, record: Redriven) -> int:
    """Send a record by itself and return its offset, once enough brokers have it.

    Retryable: whether it arrived is unknown, send it again. RejectRecord: it is too large for its topic.
    """
    producer = AIOKafkaProducer(
        **settings.client_options(f"{settings.user}.sender"),
        acks="all",
        request_timeout_ms=PRODUCER_REQUEST_TIMEOUT_MS,
        max_request_size=LARGEST_REQUEST,
    )
    topic = settings.prefix + record.topic
    try:
        async with asyncio.timeout(DEADLINE_S):
            await producer.start()
            sent = await producer.send_and_wait(
                topic, record.value, record.key, record.partition, headers=list(record.headers)
            )
    except MessageSizeTooLargeError as error:
        raise RejectRecord(f"{topic} takes no record of this size") from error
    except (KafkaError, TimeoutError) as error:
        raise Retryable(f"user {settings.user} can't write to {topic}: {error!r}") from error
    else:
        return int(sent.offset)
    finally:
        await closed(producer.stop(), deadline_s=0)
