"""The library's Kafka half alone: its consumer, codec, ids, headers and fenced producer, without PostgreSQL.

The library offers no such mode: nothing here remembers an event id, so an input that comes twice is answered twice. It
is measured to tell what the claims cost, and what a processor without a database could reach.
"""

import time
from collections.abc import Iterable
from pathlib import Path

import uvloop
from hops_records import ParcelWeighed, PostagePriced, Schemas
from lane import Lane
from processors import answer

from chassis.collecting import settle
from exactly_once import Codec, KafkaSettings
from exactly_once.batch import Output, Partition, Record
from exactly_once.edge import Polled
from exactly_once.envelope import CORRELATION_ID, Provenance, output_id, text_header
from exactly_once.kafka.consumer import GroupConsumer
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.producer import TransactionalProducer

MOST_RECORDS = 6_000
IDLE_S = 0.2


class Half:
    """Consumes and publishes; after a failure it ends."""

    def __init__(self, lane: Lane, codec: Codec) -> None:
        prefix = lane.input.removesuffix(ParcelWeighed.topic)
        kafka = KafkaSettings(lane.bootstrap, lane.user, Path(lane.password_file), Path(lane.ca_file), prefix)
        self._name, self._commit_s, self._codec = lane.group.removeprefix(prefix), lane.commit_s, codec
        self._consumer = GroupConsumer(kafka, self._name, [ParcelWeighed.topic])
        self._producer = TransactionalProducer(kafka, self._name, "1")

    async def run(self) -> None:
        """Take the partitions over, and hop until something fails."""
        await self._consumer.ensure()
        while (membership := await self._consumer.membership(1.0)) is None:
            continue
        await self._producer.replace()
        stable = await self._consumer.stable_offsets(membership)
        new = await self._consumer.beginnings([place for place, offset in stable.items() if offset < 0])
        self._consumer.resume_at(membership, stable | new)
        while True:
            polled = await self._gather(membership)
            if polled.records:
                await self._codec.learn(polled.records)
                outputs = list(self._outputs(polled.records))
                await self._producer.publish(outputs, polled.positions, membership)

    async def _gather(self, membership: Membership) -> Polled:
        polled = await self._consumer.poll(membership, IDLE_S, MOST_RECORDS)
        gathered, due = polled.records, time.monotonic() + self._commit_s
        while gathered and len(gathered) < MOST_RECORDS and (rest_s := due - time.monotonic()) > 0:
            polled = await self._consumer.poll(membership, rest_s, MOST_RECORDS - len(gathered))
            gathered += polled.records
        return Polled(gathered, polled.positions)

    def _outputs(self, records: Iterable[Record]) -> Iterable[Output]:
        for record in records:
            entry = self._codec.decode(record)
            if not isinstance(entry.event, ParcelWeighed):
                raise TypeError(f"{entry.rejection}")
            journey = text_header(record.headers, CORRELATION_ID)
            told = Provenance(output_id(self._name, entry.event_id, 0), journey, entry.event_id)
            encoded = self._codec.encode(answer(entry.event), told)
            yield Output(Partition(*record.source), record.offset, *encoded)


async def main() -> None:
    """Run as the lane says."""
    codec = await Codec.open(Schemas(), "/bench", emits=[PostagePriced], handles=[ParcelWeighed], prefix="")
    settle()
    await Half(Lane.told(), codec).run()


if __name__ == "__main__":
    uvloop.run(main())
