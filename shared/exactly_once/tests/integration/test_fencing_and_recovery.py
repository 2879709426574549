"""The library on real Kafka and PostgreSQL: a zombie is refused, and what was decided is published once."""

import asyncio
import datetime as dt
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self
from uuid import uuid4

import confluent_kafka
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from contracts import Money, OrderLine, OrderPlaced, StockRejected
from exactly_once import Codec, Event, KafkaSettings, Loop, Processor, Registry, RejectRecord
from exactly_once.batch import Batch, Output, Partition
from exactly_once.decide import Decider
from exactly_once.envelope import Provenance
from exactly_once.errors import Fenced, FencedByGroup
from exactly_once.inbox import Inbox
from exactly_once.kafka.consumer import GroupConsumer
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.producer import TransactionalProducer
from exactly_once.recovery import Recovery
from waybill.local.shop import migration_environment
from waybill.stack import Stack

pytestmark = pytest.mark.integration

DEADLINE_S = 90
BUGGY, UNWANTED = "buggy", "unwanted"


class Nothing:
    """A working set that needs nothing."""

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        return cls()

    async def save(self, connection: AsyncConnection) -> None:
        return


def rejecting() -> Processor:
    processor = Processor("inventory")

    @processor.handles(OrderPlaced)
    def reject(order: OrderPlaced, nothing: Nothing) -> StockRejected:
        if order.payment_token == BUGGY:
            raise ZeroDivisionError("a bug")
        if order.payment_token == UNWANTED:
            raise RejectRecord("nobody wants this order")
        return StockRejected(order_id=order.order_id, customer_id=order.customer_id, short_skus=["cd"])

    return processor


@dataclass
class Parts:
    """What a loop is made of, in a namespace of its own."""

    stack: Stack
    engine: AsyncEngine
    kafka: KafkaSettings
    codec: Codec

    def loop(self) -> Loop:
        return Loop(rejecting(), engine=self.engine, kafka=self.kafka, codec=self.codec)

    def place(self, number: int, token: str = "tok_ok") -> list[str]:
        """Put orders into the topic as checkout would; return their ids."""
        producer = confluent_kafka.Producer(dict(self.stack.kafka_client("operator")))
        ids = []
        for each in range(number):
            order = an_order(f"customer-{each % 7}", token)
            event_id = str(uuid4())
            encoded = self.codec.encode(order, Provenance(event_id, event_id, event_id))
            topic = self.stack.names.topic(encoded.topic)
            producer.produce(topic, encoded.value, encoded.key, headers=list(encoded.headers))
            ids.append(str(order.order_id))
        assert producer.flush(20) == 0
        return ids

    def visible(self, topic: str) -> list[tuple[bytes, dict[str, bytes]]]:
        """Return what a read_committed reader sees in a topic: values and headers."""
        group = {"group.id": "reader", "isolation.level": "read_committed", "enable.partition.eof": "true"}
        consumer = confluent_kafka.Consumer(self.stack.kafka_client("operator") | group)
        name = self.stack.names.topic(topic)
        consumer.assign([confluent_kafka.TopicPartition(name, each, 0) for each in range(3)])
        found, ends = [], 0
        while ends < 3:
            message = consumer.poll(10)
            assert message is not None
            if message.error() is not None:
                ends += 1
            else:
                headers = {str(each[0]): each[1] for each in message.headers() or [] if isinstance(each[1], bytes)}
                found.append((message.value() or b"", headers))
        consumer.close()
        return found


def an_order(customer_id: str, token: str = "tok_ok") -> OrderPlaced:
    price = Money(amount_minor=100, currency="EUR")
    line = OrderLine(sku="cd", quantity=1, unit_price=price)
    now = dt.datetime.now(dt.UTC)
    return OrderPlaced(
        order_id=uuid4(), customer_id=customer_id, lines=[line], total=price, payment_token=token, placed_at=now
    )


@pytest.fixture
async def parts(namespaced_stack: Stack) -> AsyncIterator[Parts]:
    environment = migration_environment(namespaced_stack, "inventory")
    command = [sys.executable, "-m", "chassis.migrate", "inventory"]
    await asyncio.to_thread(subprocess.run, command, env=environment, check=True)
    dsn = namespaced_stack.postgres_dsn("inventory", "inventory").replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(dsn)
    user = namespaced_stack.names.user("inventory")
    kafka = KafkaSettings(
        bootstrap=namespaced_stack.kafka_bootstrap,
        user=user,
        credential=namespaced_stack.kafka_credential("inventory"),
        ca_file=namespaced_stack.kafka_ca,
        prefix=namespaced_stack.names.prefix,
    )
    async with Registry(namespaced_stack.registry_url) as registry:
        emits: list[type[Event]] = [OrderPlaced, StockRejected]
        codec = await Codec.open(registry, "/test", emits=emits, handles=[OrderPlaced], prefix=kafka.prefix)
        yield Parts(namespaced_stack, engine, kafka, codec)
    await engine.dispose()


async def eventually(holds: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Ask until it holds; each question reads a topic or yields to the loop."""
    async with asyncio.timeout(deadline_s):
        while not await asyncio.to_thread(holds):
            await asyncio.to_thread(threading.Event().wait, 0.1)


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[Loop]:
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        await loop.stop()
        await task


async def recovered(parts: Parts) -> tuple[GroupConsumer, TransactionalProducer, Recovery]:
    consumer = GroupConsumer(parts.kafka, "inventory", ["orders"])
    producer = TransactionalProducer(parts.kafka, "inventory", "1")
    await consumer.ensure()
    return consumer, producer, Recovery(parts.engine, Inbox("inventory"), consumer, producer)


async def test_every_order_is_answered_once_also_by_a_successor(parts: Parts) -> None:
    before = len(parts.visible("orders.stock"))
    parts.place(40)
    async with running(parts.loop()):
        await eventually(lambda: len(parts.visible("orders.stock")) >= before + 40)
    parts.place(40)
    async with running(parts.loop()):
        await eventually(lambda: len(parts.visible("orders.stock")) >= before + 80)
    ids = [headers["ce_id"] for _, headers in parts.visible("orders.stock")]
    assert len(ids) == len(set(ids)) == before + 80


async def test_what_was_decided_and_never_published_is_published_once_by_recovery(parts: Parts) -> None:
    before = len(parts.visible("orders.stock"))
    parts.place(20)
    consumer, producer, recovery = await recovered(parts)
    membership = await consumer.membership(DEADLINE_S)
    assert membership is not None
    ownership = await recovery.recover(membership)
    consumer.resume_at(membership, ownership.positions)
    decider = Decider(rejecting(), parts.engine, Inbox("inventory"), parts.codec)
    batch = await a_batch(parts, consumer, membership, ownership.positions)
    decided = await decider.decide(batch, ownership.epochs)
    assert len(decided) == len(batch.entries) > 0
    await consumer.stop()  # it dies between PostgreSQL's commit and Kafka's
    await producer.stop()
    assert len(parts.visible("orders.stock")) == before
    async with running(parts.loop()):
        await eventually(lambda: len(parts.visible("orders.stock")) >= before + 20)
    ids = [headers["ce_id"] for _, headers in parts.visible("orders.stock")]
    assert len(ids) == len(set(ids)) == before + 20


async def a_batch(parts: Parts, consumer: GroupConsumer, membership: Membership, start: dict[Partition, int]) -> Batch:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            polled = await consumer.poll(membership, 0.5, 100)
            if polled.records:
                await parts.codec.learn(polled.records)
                moved = {place: end for place, end in polled.positions.items() if end != start[place]}
                entries = [parts.codec.decode(record) for record in polled.records]
                return Batch(entries, {place: start[place] for place in moved}, moved)


async def test_a_commit_of_an_older_generation_is_refused_and_nothing_is_visible(parts: Parts) -> None:
    before = len(parts.visible("orders.stock"))
    consumer, producer, recovery = await recovered(parts)
    membership = await consumer.membership(DEADLINE_S)
    assert membership is not None
    ownership = await recovery.recover(membership)
    zombie = replace(membership, generation=membership.generation - 1)
    encoded = parts.codec.encode(
        StockRejected(order_id=uuid4(), customer_id="zombie", short_skus=["cd"]), Provenance("z", "z", "z")
    )
    place = next(iter(ownership.positions))
    with pytest.raises(FencedByGroup, match="refused the commit"):
        await producer.publish([Output(place, 0, *encoded)], ownership.positions, zombie)
    with pytest.raises(FencedByGroup, match="had dropped this member"):
        await producer.publish([], ownership.positions, replace(membership, generation=-1, member_id=""))
    await consumer.stop()
    await producer.stop()
    assert len(parts.visible("orders.stock")) == before


async def test_a_batch_of_an_overtaken_owner_is_refused_by_postgresql(parts: Parts) -> None:
    parts.place(5)
    consumer, producer, recovery = await recovered(parts)
    membership = await consumer.membership(DEADLINE_S)
    assert membership is not None
    ownership = await recovery.recover(membership)
    consumer.resume_at(membership, ownership.positions)
    batch = await a_batch(parts, consumer, membership, ownership.positions)
    async with parts.engine.begin() as connection:
        await connection.execute(text("UPDATE owner SET epoch = epoch + 1"))
    decider = Decider(rejecting(), parts.engine, Inbox("inventory"), parts.codec)
    with pytest.raises(Fenced, match="have another owner"):
        await decider.decide(batch, ownership.epochs)
    await consumer.stop()
    await producer.stop()
    async with running(parts.loop()) as loop:
        await eventually(lambda: loop.health() is None)


async def test_poison_rejections_and_bugs_become_letters_and_their_neighbours_pass(parts: Parts) -> None:
    before = len(parts.visible("orders.stock"))
    letters = len(parts.visible("inventory.dead-letters"))
    parts.place(10)
    parts.place(1, UNWANTED)
    parts.place(1, BUGGY)
    producer = confluent_kafka.Producer(dict(parts.stack.kafka_client("operator")))
    producer.produce(parts.stack.names.topic("orders"), b"garbage", b"customer-1")
    assert producer.flush(20) == 0
    parts.place(10)
    async with running(parts.loop()):
        await eventually(lambda: len(parts.visible("inventory.dead-letters")) >= letters + 3)
        await eventually(lambda: len(parts.visible("orders.stock")) >= before + 20)
    found = [headers for _, headers in parts.visible("inventory.dead-letters")][letters:]
    assert sorted(headers["dlq_kind"] for headers in found) == [b"bug", b"rejected", b"undecodable"]
    assert {headers["dlq_topic"] for headers in found} == {b"orders"}
    assert len(parts.visible("orders.stock")) >= before + 20


async def test_positions_that_postgresql_lost_stop_the_loop_with_a_sentence(parts: Parts) -> None:
    parts.place(5)
    seen = len(parts.visible("orders.stock"))
    async with running(parts.loop()):
        await eventually(lambda: len(parts.visible("orders.stock")) >= seen + 5)
    async with parts.engine.begin() as connection:
        await connection.execute(text("UPDATE owner SET next_offset = next_offset - 1 WHERE next_offset > 0"))
    async with running(parts.loop()) as loop:
        await eventually(lambda: "PostgreSQL lost commits" in (loop.health() or ""))
