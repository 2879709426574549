"""The ceiling: a transactional hop written by hand on aiokafka, with what we know of making it fast, and no more.

It accumulates inside the open transaction, awaits the acknowledgements before it commits the offsets, waits 3 ms where
aiokafka waits 20, and compresses by lz4 at level 1 where aiokafka does at 9; the garbage collector walks none of its
batches. It has no fence against a zombie, no dead letters, no recovery, and no memory of event ids.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.codec import lz4_encode
from aiokafka.producer import sender
from aiokafka.record._crecords import default_records
from aiokafka.structs import TopicPartition
from lane import Lane

MOST_RECORDS = 6_000
YOUNG_OBJECTS = 100_000
sender.BACKOFF_OVERRIDE = 0.003
vars(default_records)["lz4_encode"] = partial(lz4_encode, level=1)


class Hop:
    """One consumer, one transactional producer."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._consumer = AIOKafkaConsumer(
            lane.input,
            **lane.aiokafka(),
            group_id=lane.group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self._producer = AIOKafkaProducer(
            **lane.aiokafka(),
            transactional_id=lane.group,
            retry_backoff_ms=3,
            max_batch_size=512 * 1024,
            compression_type="lz4",
        )

    async def run(self) -> None:
        """Hop for ever."""
        await self._producer.start()
        await self._consumer.start()
        while True:
            fetched = await self._consumer.getmany(timeout_ms=200, max_records=MOST_RECORDS)
            if fetched:
                await self._transact(fetched)

    async def _transact(self, fetched: dict[TopicPartition, list[Any]]) -> None:
        due = time.monotonic() + self._lane.commit_s
        sent = list[Any]()
        positions: dict[TopicPartition, int] = {}
        await self._producer.begin_transaction()
        while True:
            for place, records in fetched.items():
                sent += await self._send(records)
                positions[place] = records[-1].offset + 1
            rest_s = due - time.monotonic()
            if rest_s <= 0 or len(sent) >= MOST_RECORDS:
                break
            most = MOST_RECORDS - len(sent)
            fetched = await self._consumer.getmany(timeout_ms=int(rest_s * 1000), max_records=most)
        await asyncio.gather(*sent)
        await self._producer.send_offsets_to_transaction(positions, self._lane.group)
        await self._producer.commit_transaction()

    async def _send(self, records: Sequence[Any]) -> list[Any]:
        hop, output, send = self._lane.hop, self._lane.output, self._producer.send
        return [await send(output, hop(each.value), each.key, headers=list(each.headers)) for each in records]


async def main() -> None:
    """Run as the lane says."""
    hop = Hop(Lane.told())
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    await hop.run()


if __name__ == "__main__":
    uvloop.run(main())
