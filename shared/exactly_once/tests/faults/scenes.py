"""The stage of a fault: topics, a schema and inputs of their own; and the verdict, read by other clients."""

import asyncio
import contextlib
import io
import json
import os
import random
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import asyncpg
import confluent_kafka
import fastavro
from confluent_kafka import IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it says nothing of them
from confluent_kafka.cimpl import NewTopic
from shared.exactly_once.tests.faults.tally import LEDGER, NAME, Added, Expected, Row, Sum, Totalled
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from exactly_once import Codec, Event, Registry
from exactly_once.envelope import REDRIVE_HEADERS, Headers, Provenance, pack_headers
from exactly_once.tables import metadata
from waybill.groups import GroupOffsets
from waybill.patience import patiently
from waybill.stack import Stack

PARTITIONS = 2
TOPICS = {"added": PARTITIONS, "totalled": PARTITIONS, f"{NAME}.dead-letters": PARTITIONS, f"{NAME}.relay": 1}
LAB = "shared.exactly_once.tests.faults.lab"
PHASE_S = 150.0  # a phase takes 5 to 10 s; on a machine under load much longer
ASK_AGAIN_S = 0.2


class Run:
    """A child of the lab."""

    def __init__(self, number: str, notes: Path) -> None:
        self.number, self.notes = number, notes
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def passed(self) -> set[str]:
        """The points that it has passed."""
        return set(self.notes.read_text().split("\n")) - {""} if self.notes.exists() else set()

    def log(self) -> str:
        """What it has said."""
        file = Path(f"{self.notes}.log")
        return file.read_text() if file.exists() else ""


@dataclass
class Lab:
    """The fork server, a database, and the clients that judge."""

    stack: Stack
    folder: Path
    codec: Codec
    admin: AdminClient
    database: str
    _process: asyncio.subprocess.Process
    _runs: dict[str, Run] = field(default_factory=dict)

    @property
    def dsn(self) -> str:
        """The database of all scenes, which have a schema each."""
        return self.stack.postgres_dsn("postgres", "operator").rsplit("/", 1)[0] + f"/{self.database}"

    async def start(self, plan: dict[str, Any]) -> Run:
        """Start a child."""
        run = Run(uuid.uuid4().hex, self.folder / uuid.uuid4().hex)
        self._runs[run.number] = run
        order = {"id": run.number, "plan": {**plan, "notes": str(run.notes)}}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await run.pid
        return run

    async def listen(self) -> None:
        """Take in what the fork server says."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            run = self._runs[said["id"]]
            if "pid" in said:
                run.pid.set_result(said["pid"])
            else:
                run.ended.set_result(said["status"])


@contextlib.asynccontextmanager
async def a_lab(stack: Stack, folder: Path) -> AsyncIterator[Lab]:
    """Open a lab; nothing of it is left behind."""
    database = f"faults_{uuid.uuid4().hex[:8]}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", LAB, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    server = await asyncpg.connect(stack.postgres_dsn("postgres", "operator"))
    await server.execute(f'CREATE DATABASE "{database}"')
    try:
        async with Registry(stack.registry_url) as registry:
            for event in (Added, Totalled):
                await _register(registry, event)
            codec = await Codec.open(registry, "/faults", emits=[Added], handles=[], prefix="faults.")
            admin = AdminClient(dict(stack.kafka_client("operator")))
            lab = Lab(stack, folder, codec, admin, database, process)
            listening = asyncio.create_task(lab.listen())
            yield lab
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
            await listening
    finally:
        if process.returncode is None:
            process.kill()
        await server.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
        await server.close()


async def _register(registry: Registry, event: type[Event]) -> None:
    schema = event.avro_schema()
    subject = f"faults.{event.topic}-{schema['namespace']}.{schema['name']}"
    body = {"schema": json.dumps(schema)}
    await registry._ask("POST", f"/subjects/{subject}/versions", body)  # it only asks in production


@dataclass
class Scene:
    """One run of the tally, from its first record to the verdict."""

    lab: Lab
    prefix: str
    schema: str
    rows: list[Row]
    stateless: bool = False

    @classmethod
    async def set_up(cls, lab: Lab, rows: Iterable[Row], *, stateless: bool = False) -> Self:
        """Make topics and tables, and put the inputs into the outbox."""
        name = uuid.uuid4().hex[:10]
        scene = cls(lab, f"faults.{name}.", f"s{name}", list(rows), stateless)
        config = {"min.insync.replicas": "1"}
        topics = [NewTopic(scene.prefix + topic, parts, 1, config=config) for topic, parts in TOPICS.items()]
        for made in lab.admin.create_topics(topics).values():
            await asyncio.to_thread(made.result, 30)
        async with scene.connected() as connection:
            await connection.execute(f"CREATE SCHEMA {scene.schema}; SET search_path TO {scene.schema}")
            for statement in _statements():
                await connection.execute(statement)
        await scene.put(scene.rows)
        return scene

    async def put(self, rows: Iterable[Row]) -> None:
        """Put inputs into the outbox, in order."""
        encoded = [
            (
                self.lab.codec.encode(
                    Added(account=row.account, amount=row.amount), Provenance(row.event_id, "j", "c")
                ),
                row,
            )
            for row in rows
        ]
        statement = "INSERT INTO outbox (out_topic, key, value, headers) VALUES ($1, $2, $3, $4)"
        async with self.connected() as connection, connection.transaction():
            await connection.executemany(
                statement,
                [
                    (each.topic, each.key, each.value, pack_headers(each.headers + _redrive(row)))
                    for each, row in encoded
                ],
            )

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect to this scene's schema."""
        connection = await asyncpg.connect(self.lab.dsn, server_settings={"search_path": self.schema})
        try:
            yield connection
        finally:
            await connection.close()

    async def start(self, crash: str = "", passage: int = 1, **more: Any) -> Run:
        """Start a process of this scene; what more a plan says: see `lab.Plan`."""
        stack = self.lab.stack
        kafka = {
            "bootstrap": stack.kafka_bootstrap,
            "user": "operator",
            "credential": str(stack.kafka_credential("operator")),
            "ca_file": str(stack.kafka_ca),
            "prefix": self.prefix,
        }
        dsn = self.lab.dsn.replace("postgresql://", "postgresql+asyncpg://", 1)
        plan = {"dsn": dsn, "schema": self.schema, "kafka": kafka, "registry": stack.registry_url, "crash": crash}
        return await self.lab.start(plan | {"passage": passage, "stateless": self.stateless} | more)

    async def played(self, run: Run) -> int:
        """Let a process finish the input and stop; return how it ended (-9 where its plan killed it)."""
        try:
            async with asyncio.timeout(PHASE_S):
                while not run.ended.done() and not await self.finished():
                    await asyncio.wait({run.ended}, timeout=ASK_AGAIN_S)
                return await end(run)
        except TimeoutError:
            kill(run)
            raise

    async def finished(self) -> bool:
        """Tell whether the outbox is empty, and PostgreSQL's and Kafka's positions are at the topic's end."""
        async with self.connected() as connection:
            if await connection.fetchval("SELECT exists(SELECT FROM outbox)"):
                return False
            positions = await self.positions(connection)
        if self.stateless:
            return await asyncio.to_thread(self._at_rest, None)
        return len(positions) == PARTITIONS and await asyncio.to_thread(self._at_rest, positions)

    async def settled(self) -> bool:
        """Tell whether it is finished, with no transaction open: what a zombie sent hides what others sent later."""
        return await self.finished() and not await asyncio.to_thread(self._is_open)

    def _is_open(self) -> bool:
        committed, uncommitted = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED
        return any(self.ends(topic, committed) != self.ends(topic, uncommitted) for topic in TOPICS)

    async def positions(self, connection: asyncpg.Connection) -> dict[int, int]:
        """PostgreSQL's position in each partition of the input."""
        rows = await connection.fetch("SELECT partition, next_offset FROM owner")
        return {row["partition"]: row["next_offset"] for row in rows}

    def _at_rest(self, positions: dict[int, int] | None) -> bool:
        ends = self.ends("added", IsolationLevel.READ_COMMITTED)
        return ends == self.committed() and positions in (None, ends)

    def ends(self, topic: str, isolation: IsolationLevel) -> dict[int, int]:
        """Where each partition ends: the last stable offset or the high watermark, by the isolation."""
        name = self.prefix + topic
        asked = {TopicPartition(name, each): OffsetSpec.latest() for each in range(TOPICS[topic])}  # type: ignore[no-untyped-call]  # confluent's

        def ask() -> dict[int, int]:
            answers = self.lab.admin.list_offsets(asked, isolation_level=isolation)
            return {place.partition: answer.result(20).offset for place, answer in answers.items()}

        return patiently(ask)

    def committed(self) -> dict[int, int]:
        """The group's committed offsets."""
        partitions = [(self.prefix + "added", each) for each in range(TOPICS["added"])]
        with GroupOffsets(self.lab.stack.kafka_client("operator"), self.prefix + NAME) as group:
            found = patiently(lambda: group.committed(partitions))
        return {number: offset for (_, number), offset in found.items()}

    def members(self) -> int:
        """How many members the group has, as its coordinator sees it."""
        group = self.prefix + NAME
        return patiently(lambda: len(self.lab.admin.describe_consumer_groups([group])[group].result(20).members))

    async def verdict(self) -> list[str]:
        """Say everything that is wrong: nothing, when each input counted once and each output came once, in order."""
        expected = Expected.without_memory(self.rows) if self.stateless else Expected.of(self.rows)
        async with self.connected() as connection:
            sums = {row[0]: Sum(row[1], row[2]) for row in await connection.fetch("SELECT * FROM ledger")}
            claims = await connection.fetchval("SELECT count(*) FROM claims")
            positions = await self.positions(connection)
        read = await asyncio.to_thread(self.read)
        if self.stateless:
            positions = await asyncio.to_thread(self.ends, "added", IsolationLevel.READ_COMMITTED)
        inputs: dict[str, list[tuple[int, str]]] = {}
        for row in self.rows:
            inputs.setdefault(row.account, []).append((row.amount, row.event_id))
        checks = {
            "sums in PostgreSQL": (sums, expected.sums),
            "claims": (claims, 0 if self.stateless else len({row.event_id for row in self.rows})),
            "inputs published by the relay": (read.inputs, inputs),
            "outputs of each account": (read.outputs, expected.outputs),
            "dead letters": (read.letters, expected.letters),
            "committed offsets": (await asyncio.to_thread(self.committed), positions),
        }
        for topic in TOPICS:
            stable = await asyncio.to_thread(self.ends, topic, IsolationLevel.READ_COMMITTED)
            high = await asyncio.to_thread(self.ends, topic, IsolationLevel.READ_UNCOMMITTED)
            checks[f"last stable offset of {topic}"] = (stable, high)
        return [f"{name}: {found} instead of {right}" for name, (found, right) in checks.items() if found != right]

    def read(self) -> "Read":
        """Read all topics as they are now."""
        read = Read()
        for topic in TOPICS:
            for message in self.messages(topic):
                read.take(topic, message)
        return read

    def keys(self, topic: str) -> list[bytes]:
        """The keys that a read_committed reader finds in a topic."""
        return [message.key() for message in self.messages(topic)]

    def messages(self, topic: str) -> list[Any]:
        """What an independent read_committed reader finds in a topic, in order within each partition."""
        reading = {"group.id": self.prefix + "witness", "isolation.level": "read_committed"}
        config = self.lab.stack.kafka_client("operator") | reading | {"enable.partition.eof": "true"}
        consumer = confluent_kafka.Consumer(config)
        consumer.assign([TopicPartition(self.prefix + topic, each, 0) for each in range(TOPICS[topic])])
        found: list[Any] = []
        ends = 0
        while ends < TOPICS[topic]:
            message = consumer.poll(20)
            assert message is not None, "no answer from Kafka"
            if (error := message.error()) is None:
                found.append(message)
            else:
                ends += error.code() == KafkaError._PARTITION_EOF
        consumer.close()
        return found

    async def tear_down(self) -> None:
        """Delete the topics; the schema goes with the database."""
        for gone in self.lab.admin.delete_topics([self.prefix + topic for topic in TOPICS]).values():
            await asyncio.to_thread(gone.result, 30)


@dataclass
class Read:
    """What an independent read_committed reader found."""

    inputs: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    outputs: dict[str, list[Sum]] = field(default_factory=dict)
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)

    def take(self, topic: str, message: Any) -> None:
        """Take a record in."""
        headers = {key: value.decode() for key, value in message.headers() or []}
        if topic == "added":
            fields = _decoded(Added, message.value())
            self.inputs.setdefault(fields["account"], []).append((fields["amount"], headers["ce_id"]))
        elif topic == "totalled":
            fields = _decoded(Totalled, message.value())
            self.outputs.setdefault(fields["account"], []).append(Sum(fields["number"], fields["total"]))
        elif topic == f"{NAME}.dead-letters":
            self.letters[headers["dlq_event_id"], headers["dlq_kind"]] += 1


def _decoded(event: type[Event], value: bytes) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(event.avro_schema()), None)


def _statements() -> list[str]:
    found: list[str] = []
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
    for table in metadata.sorted_tables:
        found += [str(CreateTable(table).compile(dialect=dialect))]
        found += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    return [*found, LEDGER]


async def end(run: Run) -> int:
    """Stop a process as a supervisor does; return how it ended."""
    if not run.ended.done():
        os.kill(run.pid.result(), signal.SIGTERM)
    return await run.ended


def _redrive(row: Row) -> Headers:
    if row.redrives is None:
        return ()
    told = (NAME, row.event_id, str(row.redrives))
    return tuple((name, value.encode()) for name, value in zip(REDRIVE_HEADERS, told, strict=True))


def kill(run: Run) -> None:
    """End a process at once."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(run.pid.result(), signal.SIGKILL)


def inputs(number: int = 40, seed: int = 1) -> list[Row]:
    """Inputs of a few accounts: a rejected one and its redrive, sent twice; a bug, a repetition, a conflict of ids."""
    chance = random.Random(seed)  # noqa: S311  # a fixed sequence is the point
    rows = [Row(f"account-{chance.randrange(5)}", chance.randint(14, 99), f"e{each}") for each in range(number)]
    third = number // 3
    rows.insert(third, rows[third - 1]._replace(amount=13, event_id="unwanted"))
    rows.insert(third + 3, rows[third]._replace(amount=0, event_id="buggy"))
    rows.insert(third * 2, rows[third - 4])
    rows.insert(third * 2 + 2, rows[third - 2]._replace(amount=100))
    redrive = rows[third]._replace(redrives=0)
    return [*rows[: third * 2 + 5], redrive, *rows[third * 2 + 5 : -1], redrive, rows[-1]]
