"""An inbox without Kafka transactions: claims and state in PostgreSQL, then the outputs, then the offsets.

What many write by hand: no input counts twice. But who dies between PostgreSQL's commit and the last acknowledgement
has claimed inputs whose outputs nobody will ever send.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from lane import Lane, priced
from processors import LOCK, SAVE
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

MOST_RECORDS = 2_000
CLAIM = text("""
INSERT INTO claims ("group", event_id, topic, partition, "offset", digest, rejected)
SELECT :group, c.event_id, '', 0, 0, '', false FROM unnest(CAST(:ids AS text[])) AS c(event_id)
ON CONFLICT DO NOTHING RETURNING event_id""")


class New(NamedTuple):
    """An input that was not seen before, and its output."""

    record: Any
    priced: dict[str, Any]


async def remember(connection: AsyncConnection, lane: Lane, records: Sequence[Any]) -> list[New]:
    """Claim the inputs, and keep the accounts of those that are new."""
    ids = [dict(record.headers)["ce_id"].decode() for record in records]
    won = {name for (name,) in await connection.execute(CLAIM, {"group": lane.group, "ids": ids})}
    pairs = zip(records, ids, strict=True)
    new = [New(record, priced(lane.decoded(record.value))) for record, name in pairs if name in won]
    parcels = list({each.priced["parcel_id"] for each in new})
    rows = await connection.execute(LOCK, {"ids": parcels})
    known = {name: (times, total) for name, times, total in rows}
    for _, each in new:
        times, total = known.get(each["parcel_id"], (0, 0))
        known[each["parcel_id"]] = times + 1, total + each["cents"]
    accounts = {"times": [times for times, _ in known.values()], "cents": [total for _, total in known.values()]}
    await connection.execute(SAVE, {"ids": list(known), **accounts})
    return new


async def main() -> None:
    """Run as the lane says."""
    lane = Lane.told()
    engine = create_async_engine(make_url(lane.postgres), connect_args={"server_settings": {"jit": "off"}})
    consumer = AIOKafkaConsumer(
        lane.input,
        **lane.aiokafka(),
        group_id=lane.group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(
        **lane.aiokafka(), enable_idempotence=True, max_batch_size=512 * 1024, compression_type="lz4"
    )
    await producer.start()
    await consumer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=200, max_records=MOST_RECORDS)
        records = [record for each in fetched.values() for record in each]
        if not records:
            continue
        async with engine.begin() as connection:
            new = await remember(connection, lane, records)
        sent = [
            await producer.send(lane.output, lane.encoded(answer), record.key, headers=list(record.headers))
            for record, answer in new
        ]
        await asyncio.gather(*sent)
        await consumer.commit({place: each[-1].offset + 1 for place, each in fetched.items()})


if __name__ == "__main__":
    uvloop.run(main())
