"""Who offers the records and looks what becomes of them: with librdkafka's clients, which share no code with ours."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import confluent_kafka
import fastavro
from confluent_kafka import IsolationLevel, KafkaError, TopicPartition
from hops_cluster import ANSWER_S, Cluster, Offsets
from hops_records import ParcelWeighed, PostagePriced, cents, headers, weighed, wire_header
from side_by_side import Figures

from exactly_once.codec import WIRE_HEADER
from waybill.groups import GroupOffsets

LOOK_EVERY_S = 0.02
DEADLINE_S = 90.0
READ_AT_ONCE = 5_000
READ_PATIENCE_S = 0.1  # it waits so long for as many
WRITING = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 1_000_000,
}


class Backlog(NamedTuple):
    """Inputs that became visible all at once: when, and where the last ones end."""

    visible_at: float
    ends: Offsets


class Writer:
    """Writes inputs."""

    def __init__(self, cluster: Cluster, topic: str, partitions: int) -> None:
        self._cluster, self._topic, self._partitions = cluster, topic, partitions
        self._schema = fastavro.parse_schema(ParcelWeighed.avro_schema())
        transactional = {"transactional.id": f"bench.{topic}"}
        self._backlog = confluent_kafka.Producer(cluster.client | WRITING | transactional)
        self._backlog.init_transactions(ANSWER_S)
        self._steady = confluent_kafka.Producer(cluster.client | WRITING | {"linger.ms": 0})

    def backlog(self, numbers: range) -> Backlog:
        """Write inputs in one transaction: nobody sees one of them before all are there."""
        self._backlog.begin_transaction()
        for number in numbers:
            self._produce(self._backlog, number)
        self._backlog.flush()
        ends = self._cluster.ends(self._topic, self._partitions, IsolationLevel.READ_UNCOMMITTED)
        visible_at = time.monotonic()
        self._backlog.commit_transaction()
        return Backlog(visible_at, ends)

    def steadily(self, numbers: range, rate: float) -> dict[int, float]:
        """Write inputs at a steady rate, in an open loop; return the moment at which each was due."""
        began, due = time.monotonic(), dict[int, float]()
        for place, number in enumerate(numbers):
            due[number] = began + place / rate
            time.sleep(max(0.0, due[number] - time.monotonic()))
            self._produce(self._steady, number)
        self._steady.flush()
        return due

    def _produce(self, producer: confluent_kafka.Producer, number: int) -> None:
        fields, buffer = weighed(number), io.BytesIO()
        buffer.write(wire_header(ParcelWeighed))
        fastavro.schemaless_writer(buffer, self._schema, fields)
        own = list(headers(number))
        while True:
            try:
                producer.produce(self._topic, buffer.getvalue(), fields["parcel_id"], headers=own)  # type: ignore[arg-type]  # confluent's stub knows fewer headers
            except BufferError:
                producer.poll(0.01)
            else:
                producer.poll(0)
                return


class Reader:
    """Reads committed outputs, when it is asked to: meanwhile it is not in the way of who is measured."""

    def __init__(self, cluster: Cluster, topic: str, partitions: int) -> None:
        reading = {"group.id": f"bench.{topic}", "isolation.level": "read_committed", "enable.auto.commit": False}
        self._consumer = confluent_kafka.Consumer(cluster.client | reading | {"enable.partition.eof": True})
        self._positions = dict.fromkeys(range(partitions), 0)
        self._topic = topic
        self._schema = fastavro.parse_schema(PostagePriced.avro_schema())

    def everything(self) -> list[dict[str, int]]:
        """Return the outputs that are new since the last call."""
        found, ended, until = list[dict[str, int]](), set[int](), time.monotonic() + DEADLINE_S
        self._begin()
        while len(ended) < len(self._positions):
            if time.monotonic() > until:
                raise TimeoutError(f"{self._topic} has no end")
            for record in self._consumer.consume(READ_AT_ONCE, READ_PATIENCE_S):
                error, partition = record.error(), record.partition()
                if error is None:
                    found.append(self._taken(record))
                elif error.code() == KafkaError._PARTITION_EOF and partition is not None:  # noqa: SLF001  # confluent's name
                    ended.add(partition)
        self._consumer.unassign()
        return found

    def arrivals(self, number: int, deadline_s: float, ready: threading.Event) -> dict[int, float]:
        """Return when each of so many outputs arrived; of those that don't within the deadline, nothing."""
        arrived = dict[int, float]()
        self._begin()
        self._consumer.poll(1.0)  # the first partition's end: it reads
        ready.set()
        until = time.monotonic() + deadline_s
        while len(arrived) < number and time.monotonic() < until:
            record = self._consumer.poll(0.2)
            if record is not None and record.error() is None:
                arrived.setdefault(self._taken(record)["number"], time.monotonic())
        self._consumer.unassign()
        return arrived

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _begin(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, *place) for place in self._positions.items()])

    def _taken(self, record: confluent_kafka.Message) -> dict[str, int]:
        partition, offset, value = record.partition(), record.offset(), record.value()
        if partition is None or offset is None or value is None:
            raise ValueError(f"{self._topic} holds a record without a value")
        self._positions[partition] = offset + 1
        fields: dict[str, int] = fastavro.schemaless_reader(io.BytesIO(value[WIRE_HEADER.size :]), self._schema, None)  # type: ignore[assignment]  # fastavro says less
        return fields


def verdict(outputs: list[dict[str, int]], numbers: range) -> Figures:
    """Count the inputs of which nothing came, the outputs that came again, and those that say something wrong."""
    came = [each["number"] for each in outputs]
    wrong = sum(each["number"] not in numbers or each["cents"] != cents(each["number"]) for each in outputs)
    return {"lost": len(set(numbers) - set(came)), "doubled": len(came) - len(set(came)), "wrong": wrong}


def wait_until_committed(group: GroupOffsets, topic: str, ends: Offsets, lives: Callable[[], bool]) -> float:
    """Return the moment at which a group has committed all that is below `ends`. TimeoutError: it never did."""
    until = time.monotonic() + DEADLINE_S
    for committed in _looks(group, [(topic, partition) for partition in ends]):
        now = time.monotonic()
        if all(committed.get(partition, 0) >= end for partition, end in ends.items()):
            return now
        if now > until or not lives():
            raise TimeoutError(f"{topic} was consumed up to {committed} only, of {ends}")
    raise AssertionError("it looks for ever")


def _looks(group: GroupOffsets, places: list[tuple[str, int]]) -> Iterator[Offsets]:
    while True:
        found = group.committed(places)
        yield {partition: offset for (_, partition), offset in found.items()}
        time.sleep(LOOK_EVERY_S)
