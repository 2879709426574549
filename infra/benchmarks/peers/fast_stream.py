"""FastStream, at least once, in batches: it has no transactions. What it sends is confirmed before it commits."""

import asyncio
import ssl

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.security import SASLScram512
from lane import Lane

MOST_RECORDS = 2_000


async def main() -> None:
    """Run as the lane says."""
    lane = Lane.told()
    broker = broker_of(lane)

    @broker.subscriber(  # type: ignore[untyped-decorator]  # it is not installed here
        lane.input,
        batch=True,
        group_id=lane.group,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_records=MOST_RECORDS,
        batch_timeout_ms=round(lane.commit_s * 1000),
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def hop(values: list[bytes], batch: KafkaMessage) -> None:
        confirmed = [
            await broker.publish(lane.hop(value), lane.output, key=record.key, headers=headers, no_confirm=True)
            for value, record, headers in zip(values, batch.raw_message, batch.batch_headers, strict=True)
        ]
        await asyncio.gather(*confirmed)

    await FastStream(broker).run()


def broker_of(lane: Lane) -> KafkaBroker:
    """Return a client of the lane's cluster whose producer is idempotent."""
    trusted = ssl.create_default_context(cafile=lane.ca_file)
    return KafkaBroker(
        lane.bootstrap.split(","),
        security=SASLScram512(username=lane.user, password=lane.password, ssl_context=trusted, use_ssl=True),
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=512 * 1024,
        logger=None,
    )


if __name__ == "__main__":
    uvloop.run(main())
