"""The two clusters that must behave alike: one in memory, and the real one."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import confluent_kafka
import pytest
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from exactly_once import KafkaSettings
from exactly_once.batch import Output, Partition, Positions
from exactly_once.edge import Consumer, Edge, Producer
from exactly_once.kafka.cluster import Cluster
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.producer import _Producer
from exactly_once.testing import MemoryBroker
from exactly_once.testing.log import End
from waybill.stack import Stack

DEADLINE_S = 90
PARTITIONS = 3


class Pending(Protocol):
    """A transaction that has sent something and has not ended."""

    async def commit(self) -> None: ...

    async def abort(self) -> None: ...

    async def drop(self) -> None: ...


class Side(Protocol):
    """A cluster with what a test needs beside the edge: to write and to read from outside."""

    @property
    def edge(self) -> Edge: ...

    async def append(self, topic: str, key: bytes, value: bytes) -> Partition: ...

    async def visible(self, topic: str) -> list[tuple[Partition, bytes]]: ...

    async def begin(self, outputs: Iterable[Output], offsets: Positions, by: Membership) -> Pending: ...

    async def forget(self, partition: Partition, before: int) -> None: ...


@dataclass
class MemoryPending:
    broker: MemoryBroker
    transaction: Any

    async def commit(self) -> None:
        self.broker.end(self.transaction, End.COMMITTED)

    async def abort(self) -> None:
        self.broker.end(self.transaction, End.ABORTED)

    async def drop(self) -> None:
        return


@dataclass
class Memory:
    group: str
    edge: MemoryBroker = field(default_factory=MemoryBroker)

    async def append(self, topic: str, key: bytes, value: bytes) -> Partition:
        return self.edge.append(topic, key, value).source

    async def visible(self, topic: str) -> list[tuple[Partition, bytes]]:
        return [(record.source, record.value or b"") for record in self.edge.records(topic)]

    async def begin(self, outputs: Iterable[Output], offsets: Positions, by: Membership) -> Pending:
        name = f"{self.group}.other"
        transaction = self.edge.open(name, self.edge.take_over(name))
        self.edge.send(transaction, list(outputs))
        if offsets:
            self.edge.send_offsets(transaction, self.group, offsets, by)
        return MemoryPending(self.edge, transaction)

    async def forget(self, partition: Partition, before: int) -> None:
        self.edge.log(partition).drop_before(before)


@dataclass
class RealPending:
    producer: _Producer

    async def commit(self) -> None:
        await self.producer.commit_transaction()
        await self.producer.stop()

    async def abort(self) -> None:
        await self.producer.abort_transaction()
        await self.producer.stop()

    async def drop(self) -> None:
        await self.producer.dispose()


@dataclass
class Real:
    group: str
    settings: KafkaSettings
    client: dict[str, Any]

    def __post_init__(self) -> None:
        self.edge = Cluster(self.settings)

    async def append(self, topic: str, key: bytes, value: bytes) -> Partition:
        return await asyncio.to_thread(self._append, topic, key, value)

    def _append(self, topic: str, key: bytes, value: bytes) -> Partition:
        places: list[int] = []
        producer = confluent_kafka.Producer(self.client | {"partitioner": "murmur2_random"})
        producer.produce(
            self.settings.prefix + topic, value, key, on_delivery=lambda _, each: places.append(each.partition() or 0)
        )
        assert producer.flush(DEADLINE_S) == 0
        return Partition(topic, places[0])

    async def visible(self, topic: str) -> list[tuple[Partition, bytes]]:
        return await asyncio.to_thread(self._visible, topic)

    def _visible(self, topic: str) -> list[tuple[Partition, bytes]]:
        reading = {"group.id": "reader", "isolation.level": "read_committed", "enable.partition.eof": "true"}
        consumer = confluent_kafka.Consumer(self.client | reading | {"auto.offset.reset": "earliest"})
        name = self.settings.prefix + topic
        consumer.assign([confluent_kafka.TopicPartition(name, each) for each in range(PARTITIONS)])
        found, ends = [], 0
        while ends < PARTITIONS:
            message = consumer.poll(DEADLINE_S)
            assert message is not None
            if message.error() is None:
                found.append((Partition(topic, message.partition() or 0), message.value() or b""))
            else:
                ends += 1
        consumer.close()
        return found

    async def begin(self, outputs: Iterable[Output], offsets: Positions, by: Membership) -> Pending:
        producer, prefix = _Producer(self.settings, f"{self.settings.prefix}{self.group}.other"), self.settings.prefix
        await producer.start()
        await producer.begin_transaction()
        for output in outputs:
            await producer.send_and_wait(prefix + output.out_topic, output.value, output.key)
        if offsets:
            places = {TopicPartition(prefix + topic, number): at for (topic, number), at in offsets.items()}
            await producer.commit_as(by, places, prefix + self.group)
        return RealPending(producer)

    async def forget(self, partition: Partition, before: int) -> None:
        place = confluent_kafka.TopicPartition(self.settings.prefix + partition.topic, partition.partition, before)
        admin = AdminClient(self.client)  # kept by a name: one that is collected never answers
        for deleted in admin.delete_records([place]).values():
            await asyncio.to_thread(deleted.result)


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.integration)])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """One cluster after the other; every test has a group and topics of its own."""
    if request.param == "memory":
        yield Memory("group")
        return
    stack: Stack = request.getfixturevalue("stack")
    settings = KafkaSettings(
        bootstrap=stack.kafka_bootstrap,
        user="operator",
        credential=stack.kafka_credential("operator"),
        ca_file=stack.kafka_ca,
        prefix=f"conformance{uuid4().hex[:8]}.",
    )
    client: dict[str, Any] = dict(stack.kafka_client("operator"))
    admin = AdminClient(client)
    topics = [NewTopic(settings.prefix + name, num_partitions=PARTITIONS) for name in ("in", "out")]
    for made in admin.create_topics(topics).values():
        made.result()
    yield Real("group", settings, client)
    for gone in admin.delete_topics([topic.topic for topic in topics]).values():
        gone.result()


@dataclass
class Member:
    """A member of the group with its producer, as a loop has them."""

    side: Side
    consumer: Consumer
    producer: Producer
    membership: Membership

    def output(self, value: bytes, key: bytes = b"anna") -> Output:
        return Output(Partition("in", 0), 0, "out", key, value, ())

    async def read(self, expected: int) -> tuple[list[bytes], Positions]:
        """Poll until so many records have come; return their values and the positions behind them."""
        values: list[bytes] = []
        async with asyncio.timeout(DEADLINE_S):
            while True:
                polled = await self.consumer.poll(self.membership, 0.3, 100)
                values += [record.value or b"" for record in polled.records]
                if len(values) >= expected:
                    return values, polled.positions

    async def position_reaches(self, partition: Partition, position: int) -> Positions:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                polled = await self.consumer.poll(self.membership, 0.3, 100)
                if polled.positions[partition] >= position:
                    return polled.positions


@dataclass
class Members:
    side: Side
    joined: list[Member] = field(default_factory=list)

    async def join(self, instance: str = "1") -> Member:
        """Join the group and return the member when it has its share of the partitions."""
        consumer, producer = self.side.edge.consumer("group", ["in"]), self.side.edge.producer("group", instance)
        await producer.replace()
        await consumer.ensure()
        member = Member(self.side, consumer, producer, await self.assigned(consumer))
        self.joined.append(member)
        return member

    async def reading(self, instance: str = "1") -> Member:
        """Join the group, and read its partitions from their beginnings."""
        member = await self.join(instance)
        beginnings = await member.consumer.beginnings(member.membership.partitions)
        member.consumer.resume_at(member.membership, beginnings)
        return member

    async def assigned(self, consumer: Consumer) -> Membership:
        async with asyncio.timeout(DEADLINE_S):
            while (membership := await consumer.membership(1.0)) is None:
                continue
        return membership


@pytest.fixture
async def members(side: Side) -> AsyncIterator[Members]:
    members = Members(side)
    yield members
    for member in members.joined:
        await member.consumer.stop()
        await member.producer.stop()
    # aiokafka forgets the exceptions of some futures. asyncio tells of that when they are collected; in the middle of
    # an ast.parse that ends Python 3.11.7 with a SystemError, so they are collected here.
    gc.collect()
