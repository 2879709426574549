"""A tally of a test's own on the real stack: topics, a database, its loops and its members, and what came of it."""

import asyncio
import io
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
import fastavro
from confluent_kafka import IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it says nothing of them
from confluent_kafka.cimpl import NewTopic
from prometheus_client import REGISTRY
from shared.exactly_once.tests.faults.tally import LEDGER, NAME, Added, Expected, Row, Sum, Totalled, processor
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import Codec, Event, KafkaSettings, Loop
from exactly_once.envelope import REDRIVE_HEADERS, Provenance
from exactly_once.testing import temporary_database
from exactly_once.testing.schemas import MemorySchemas
from waybill.groups import GroupOffsets
from waybill.patience import patiently
from waybill.stack import Stack

PARTITIONS = 2
LETTERS = f"{NAME}.dead-letters"
TOPICS = ("added", "totalled", LETTERS)
DEADLINE_S = 120.0
ASK_AGAIN_S = 0.1


@dataclass
class Stage:
    """Where a test plays: a tally with its topics and tables, and the clients of its audience."""

    stack: Stack
    settings: KafkaSettings
    engine: AsyncEngine
    codec: Codec
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        impatient = {"socket.timeout.ms": 5_000}  # a broker may be asleep: then another one is asked
        self.client: dict[str, Any] = self.stack.kafka_client("operator") | impatient
        self.admin = AdminClient(self.client)
        writing = {"partitioner": "murmur2_random", "enable.idempotence": True}
        self._producer = confluent_kafka.Producer(self.client | writing)
        self.group = GroupOffsets(self.client, self.name(NAME))

    async def put(self, *rows: Row) -> None:
        """Write inputs as another service would, in order."""
        self.rows += rows
        for row in rows:
            event = Added(account=row.account, amount=row.amount)
            encoded = self.codec.encode(event, Provenance(row.event_id, "j", "c"))
            headers: list[Any] = list(encoded.headers)
            if row.redrives is not None:
                told = (NAME, row.event_id, str(row.redrives))
                headers += [(name, value.encode()) for name, value in zip(REDRIVE_HEADERS, told, strict=True)]
            self._producer.produce(self.name("added"), encoded.value, encoded.key, headers=headers)
        assert await asyncio.to_thread(self._producer.flush, DEADLINE_S) == 0

    def name(self, topic: str) -> str:
        """What the brokers call a topic, or a group."""
        return self.settings.prefix + topic

    def loop(self, instance: str = "1", settings: KafkaSettings | None = None) -> Loop:
        """Return a loop that has not started."""
        kafka = settings or self.settings
        return Loop(processor(), engine=self.engine, kafka=kafka, codec=self.codec, instance=instance)

    @asynccontextmanager
    async def running(self, instance: str = "1", settings: KafkaSettings | None = None) -> AsyncIterator[Loop]:
        """Run a loop for the length of the block."""
        loop = self.loop(instance, settings)
        task = asyncio.create_task(loop.run())
        try:
            yield loop
        finally:
            await loop.stop()
            await task

    async def at_rest(self) -> None:
        """Wait until PostgreSQL's and Kafka's positions are at the input's end."""
        async with asyncio.timeout(DEADLINE_S):
            while not await self._is_at_rest():  # noqa: ASYNC110  # databases and topics set no event
                await asyncio.sleep(ASK_AGAIN_S)

    async def _is_at_rest(self) -> bool:
        ends = await asyncio.to_thread(self.ends, "added")
        return ends == await self.positions() == await asyncio.to_thread(self.committed)

    async def positions(self) -> dict[int, int]:
        """PostgreSQL's position in each partition of the input."""
        async with self.engine.connect() as connection:
            rows = await connection.execute(text("SELECT partition, next_offset FROM owner"))
            return {number: offset for number, offset in rows}  # noqa: C416  # dict() of rows has no type

    def ends(self, topic: str, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED) -> dict[int, int]:
        """Where each partition ends: the last stable offset, or the high watermark by the other isolation."""
        asked = {TopicPartition(self.name(topic), each): OffsetSpec.latest() for each in range(PARTITIONS)}  # type: ignore[no-untyped-call]  # confluent's

        def ask() -> dict[int, int]:
            answers = self.admin.list_offsets(asked, isolation_level=isolation)
            return {place.partition: answer.result(20).offset for place, answer in answers.items()}

        return patiently(ask)

    def committed(self) -> dict[int, int]:
        """The group's committed offsets, of the partitions that have one."""
        partitions = [(self.name("added"), each) for each in range(PARTITIONS)]
        found = patiently(lambda: self.group.committed(partitions))
        return {number: offset for (_, number), offset in found.items()}

    def visible(self, topic: str) -> list[Any]:
        """What an independent read_committed reader finds in a topic, in order within each partition."""
        reading = {"group.id": self.name("witness"), "isolation.level": "read_committed", "enable.partition.eof": True}
        consumer = confluent_kafka.Consumer(self.client | reading)
        consumer.assign([TopicPartition(self.name(topic), each, 0) for each in range(PARTITIONS)])
        found, ends = list[Any](), 0
        while ends < PARTITIONS:
            message = consumer.poll(20)
            assert message is not None, "no answer from Kafka"
            if (error := message.error()) is None:
                found.append(message)
            else:
                ends += error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001  # confluent's name for it
        consumer.close()
        return found

    def keys(self, topic: str = "totalled") -> list[bytes]:
        """The keys of what is visible in a topic."""
        return sorted(message.key() for message in self.visible(topic))

    def outputs(self) -> dict[str, list[Sum]]:
        """The visible totals of each account, in order."""
        found: dict[str, list[Sum]] = {}
        schema = fastavro.parse_schema(Totalled.avro_schema())
        for message in self.visible("totalled"):
            fields: Any = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), schema, None)
            found.setdefault(fields["account"], []).append(Sum(fields["number"], fields["total"]))
        return found

    def letters(self) -> Counter[tuple[str, str]]:
        """Ids and kinds of the visible dead letters."""
        headers = [dict(message.headers()) for message in self.visible(LETTERS)]
        return Counter((each["dlq_event_id"].decode(), each["dlq_kind"].decode()) for each in headers)

    async def verdict(self) -> list[str]:
        """Say what is wrong: nothing, when each input counted once and each output came once, in order."""
        expected = Expected.of(self.rows)
        async with self.engine.connect() as connection:
            rows = await connection.execute(text("SELECT account, number, total FROM ledger"))
            sums = {row.account: Sum(row.number, row.total) for row in rows}
        checks = {
            "sums in PostgreSQL": (sums, expected.sums),
            "outputs of each account": (await asyncio.to_thread(self.outputs), expected.outputs),
            "dead letters": (await asyncio.to_thread(self.letters), expected.letters),
            "committed offsets": (await asyncio.to_thread(self.committed), await self.positions()),
            **{f"open transactions in {topic}": await asyncio.to_thread(self.both_ends, topic) for topic in TOPICS},
        }
        return [f"{name}: {found} instead of {right}" for name, (found, right) in checks.items() if found != right]

    def both_ends(self, topic: str) -> tuple[dict[int, int], dict[int, int]]:
        """The last stable offsets and the high watermarks: equal where no transaction is open."""
        return self.ends(topic), self.ends(topic, IsolationLevel.READ_UNCOMMITTED)


@asynccontextmanager
async def a_stage(stack: Stack, replicas: int) -> AsyncIterator[Stage]:
    """Set a stage; nothing of it is left behind."""
    settings = KafkaSettings(
        bootstrap=stack.kafka_bootstrap,
        user="operator",
        credential=stack.kafka_credential("operator"),
        ca_file=stack.kafka_ca,
        prefix=f"stage{uuid.uuid4().hex[:8]}.",
    )
    emits: list[type[Event]] = [Added, Totalled]
    codec = await Codec.open(MemorySchemas(), "/stage", emits=emits, handles=[Added], prefix="")
    server = stack.postgres_dsn("postgres", "operator").replace("postgresql://", "postgresql+asyncpg://", 1)
    async with temporary_database(server, _make_ledger) as engine:
        stage = Stage(stack, settings, engine, codec)
        config = {"min.insync.replicas": "1"}
        topics = [NewTopic(stage.name(topic), PARTITIONS, replicas, config=config) for topic in TOPICS]
        await settled(stage.admin.create_topics(topics))
        with stage.group:
            yield stage
        await settled(stage.admin.delete_topics([topic.topic for topic in topics]))


def _make_ledger(connection: Connection) -> None:
    connection.execute(text(LEDGER))


async def settled(asked: Mapping[Any, Any]) -> None:
    """Wait for the answers of an admin client."""
    for answer in asked.values():
        await asyncio.to_thread(answer.result, 30)


def failures(kind: str) -> float:
    """How often loops of this process have failed in this way."""
    return REGISTRY.get_sample_value("exactly_once_failures_total", {"group": NAME, "kind": kind}) or 0.0


def republished() -> float:
    """How many outputs recoveries in this process have published."""
    return REGISTRY.get_sample_value("exactly_once_republished_total", {"group": NAME}) or 0.0


def rows(names: Iterable[str], account: str = "anna") -> list[Row]:
    """Inputs of one account, one for each name."""
    return [Row(account, 20 + each, name) for each, name in enumerate(names)]


def named(prefix: object, found: Iterable[Row]) -> list[Row]:
    """Give inputs ids of their own."""
    return [row._replace(event_id=f"{prefix}-{row.event_id}") for row in found]
