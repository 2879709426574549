"""What tests of the library on the real stack share, in plain functions: databases, settings, a reader, a writer."""

import asyncio
import datetime as dt
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import confluent_kafka
import pytest
from shared.exactly_once.tests.integration.stage import Stage, a_stage
from shared.exactly_once.tests.integration.wire import Wire
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts import Money, OrderLine, OrderPlaced
from exactly_once import KafkaSettings, loop, pace
from exactly_once.batch import Partition, Record
from exactly_once.kafka import producer
from waybill.local.shop import migration_environment
from waybill.stack import Stack

DEADLINE_S = 90.0
PARTITIONS = 3


@pytest.fixture(scope="module")
def kafka_of(namespaced_stack: Stack) -> Callable[[str], KafkaSettings]:
    """Return the settings of a service's user."""

    def kafka(service: str) -> KafkaSettings:
        user = namespaced_stack.names.user(service)
        return KafkaSettings(
            bootstrap=namespaced_stack.kafka_bootstrap,
            user=user,
            credential=namespaced_stack.kafka_credential(service),
            ca_file=namespaced_stack.kafka_ca,
            prefix=namespaced_stack.names.prefix,
        )

    return kafka


@pytest.fixture(scope="module")
def url_of(namespaced_stack: Stack) -> Callable[[str], URL]:
    """Migrate a service's database, the first time, and return where it is."""
    migrated = set()

    def url(service: str) -> URL:
        if service not in migrated:
            environment = migration_environment(namespaced_stack, service)
            subprocess.run([sys.executable, "-m", "chassis.migrate", service], env=environment, check=True)
            migrated.add(service)
        return make_url(namespaced_stack.postgres_dsn(service, service)).set(drivername="postgresql+asyncpg")

    return url


@pytest.fixture(scope="module")
async def engine_of(url_of: Callable[[str], URL]) -> AsyncIterator[Callable[[str], AsyncEngine]]:
    """Return an engine on a service's migrated database."""
    engines: dict[str, AsyncEngine] = {}

    def engine(service: str) -> AsyncEngine:
        if service not in engines:
            engines[service] = create_async_engine(url_of(service))
        return engines[service]

    yield engine
    for each in engines.values():
        await each.dispose()


@pytest.fixture(scope="module")
def send(namespaced_stack: Stack) -> Callable[..., None]:
    """Write a record as the operator: topic, key, value, headers, partition (by the key where none is named).

    With `wait=False` it is on its way only; one that waits waits for all before it.
    """
    producer = confluent_kafka.Producer(
        namespaced_stack.kafka_client("operator") | {"partitioner": "murmur2_random", "enable.idempotence": "true"}
    )

    def write(topic: str, key: bytes | None, value: bytes | None, headers: Any = (), **where: Any) -> None:
        name = namespaced_stack.names.topic(topic)
        producer.produce(name, value, key, headers=list(headers), partition=where.get("partition", -1))
        assert not where.get("wait", True) or producer.flush(DEADLINE_S) == 0

    return write


@pytest.fixture(scope="module")
def visible(namespaced_stack: Stack) -> Iterator[Callable[[str], list[Record]]]:
    """Return all records that a read_committed reader has seen in a topic so far, each partition's in order."""
    consumers: dict[str, confluent_kafka.Consumer] = {}
    seen: dict[str, list[Record]] = {}

    def read(topic: str) -> list[Record]:
        patience_s = 0.2
        if topic not in consumers:
            patience_s = 5.0
            own = {"group.id": "reader", "isolation.level": "read_committed", "fetch.wait.max.ms": "50"}
            consumers[topic] = confluent_kafka.Consumer(namespaced_stack.kafka_client("operator") | own)
            name = namespaced_stack.names.topic(topic)
            places = [confluent_kafka.TopicPartition(name, number, 0) for number in range(PARTITIONS)]
            consumers[topic].assign(places)
            seen[topic] = []
        while (message := consumers[topic].poll(patience_s)) is not None:
            assert message.error() is None, message.error()
            seen[topic].append(_record(topic, message))
            patience_s = 0.2
        return seen[topic]

    yield read
    for consumer in consumers.values():
        consumer.close()


def _record(topic: str, message: confluent_kafka.Message) -> Record:
    headers: Any = message.headers() or []
    source = Partition(topic, message.partition() or 0)
    return Record(source, message.offset() or 0, message.timestamp()[1], message.key(), message.value(), tuple(headers))


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[None]]:
    """Ask, in a thread, until it holds; after the deadline a TimeoutError says that it never did."""

    async def ask(holds: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        async with asyncio.timeout(deadline_s):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110  # databases and topics set no event
                await asyncio.sleep(0.05)

    return ask


@pytest.fixture(scope="session")
def an_order() -> Callable[..., OrderPlaced]:
    """Build an order of one compact disc."""

    def order(customer_id: str = "anna", token: str = "tok_ok") -> OrderPlaced:
        price = Money(amount_minor=100, currency="EUR")
        return OrderPlaced(
            order_id=uuid4(),
            customer_id=customer_id,
            lines=[OrderLine(sku="cd", quantity=1, unit_price=price)],
            total=price,
            payment_token=token,
            placed_at=dt.datetime.now(dt.UTC),
        )

    return order


@pytest.fixture
async def stage(stack: Stack, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Topics, a database and a group of a test's own; batches are small and answers waited for shortly.

    A parameter says how many replicas the topics have: one, where it is not given.
    """
    monkeypatch.setattr(producer, "PRODUCER_REQUEST_TIMEOUT_MS", 2_000)
    monkeypatch.setattr(loop, "MOST_RECORDS", 8)
    monkeypatch.setattr(loop, "SILENT_S", 0.3)
    monkeypatch.setattr(pace, "LONGEST_REST_S", 0.05)
    async with a_stage(stack, getattr(request, "param", 1)) as opened:
        yield opened


@pytest.fixture
def wire(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Incidents on the connections of the stage's loops and members."""
    made = Wire(monkeypatch, whose=stage.settings.prefix)
    yield made
    made.close()
