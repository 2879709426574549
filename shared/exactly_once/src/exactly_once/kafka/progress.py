"""Reads the last record of a relay's progress topic."""

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from exactly_once.errors import Retryable
from exactly_once.kafka.closing import closed
from exactly_once.kafka.settings import START_DEADLINE_S, KafkaSettings

FIRST_LOOK_BACK = 8


async def last_value(settings: KafkaSettings, topic: str) -> bytes | None:
    """Return the newest committed value in partition 0 of a topic (logical name), None where it has none.

    The end is asked for after the caller's InitProducerId, so that no transaction of a predecessor is open.
    """
    place = TopicPartition(settings.prefix + topic, 0)
    consumer = AIOKafkaConsumer(
        **settings.client_options(f"{place.topic}.reader"), isolation_level="read_committed", auto_offset_reset="none"
    )
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            await consumer.start()
            consumer.assign([place])
            return await _search_backwards(consumer, place)
    except (KafkaError, TimeoutError) as error:
        raise Retryable(f"can't read the relay's progress from {place.topic}: {error!r}") from error
    finally:
        await closed(consumer.stop(), deadline_s=0)  # nobody needs to wait for it


async def _search_backwards(consumer: AIOKafkaConsumer, place: TopicPartition) -> bytes | None:
    beginning = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    start, look_back = end, FIRST_LOOK_BACK
    while start > beginning:
        start, look_back = max(beginning, end - look_back), look_back * 8
        consumer.seek(place, start)
        newest = None
        while await consumer.position(place) < end:
            fetched = await consumer.getmany(timeout_ms=100)
            for record in fetched.get(place, []):
                newest = record
        if newest is not None:
            value: bytes = newest.value
            return value
    return None
