"""Runs a processor's real loop against a broker in memory, so that a test sees what its handlers emit."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once.batch import Partition, Record
from exactly_once.codec import Codec
from exactly_once.dead_letters import topic_of
from exactly_once.envelope import Provenance, text_header
from exactly_once.event import Event
from exactly_once.loop import Loop
from exactly_once.processor import Processor
from exactly_once.testing.broker import MemoryBroker
from exactly_once.transactions import transaction

DEADLINE_S = 10.0

_POSITIONS = text('SELECT topic, partition, next_offset FROM owner WHERE "group" = :group')


@dataclass(frozen=True)
class DeadLetter:
    """A record that was rejected, and why: `kind` is `undecodable`, `rejected`, `conflict` or `bug`."""

    kind: str
    why: str
    source: Partition
    event_id: str
    value: bytes | None


class TestKit:
    """A processor under test: deliver events to it, and see what it emitted.

        async with TestKit(processor, engine=engine) as kit:
            await kit.deliver(OrderPlaced(...))
            assert kit.emitted() == [StockReserved(...)]

    The loop, the recovery and the database are the real ones; Kafka and the schema registry are in memory. The
    engine's database has the library's tables (`temporary_database` makes one) and the processor's own; a processor
    that keeps nothing needs no engine. `resources` are what call functions ask for. Kits that share a broker hear each
    other; theirs must be fresh databases.
    """

    __test__ = False  # for pytest: no test case, though it is called so

    def __init__(
        self,
        processor: Processor,
        *,
        engine: AsyncEngine | None = None,
        resources: Sequence[Any] = (),
        broker: MemoryBroker | None = None,
    ) -> None:
        self.broker = broker or MemoryBroker()
        self._processor, self._engine, self._resources = processor, engine, resources
        self._emitted: list[Event] = []
        self._letters: list[DeadLetter] = []
        self._read = 0

    async def __aenter__(self) -> Self:
        handles, emits = set(self._processor.handlers), set(self._processor.emits)
        self._codec = await self._open_codec(emits=handles | emits, handles=handles)
        self._reader = await self._open_codec(emits=(), handles=emits)
        await self._resume()
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def deliver(self, *events: Event, event_ids: Sequence[str] | None = None) -> list[Event]:
        """Deliver events in this order, wait until they are processed, and return what was emitted.

        What the processor told itself in turn is processed too. Events under an id of before are the same events
        again. TimeoutError says what the loop waits for.
        """
        for event, event_id in zip(events, event_ids or [str(uuid.uuid4()) for _ in events], strict=True):
            self.put(event, event_id)
        return await self.settled()

    async def deliver_bytes(self, topic: str, value: bytes | None, key: bytes | None = None) -> list[Event]:
        """Deliver a record as it is, which may be one that nobody can decode."""
        self.broker.append(topic, key, value)
        return await self.settled()

    def put(self, event: Event, event_id: str) -> Record:
        """Put an event into its topic and wait for nothing."""
        encoded = self._codec.encode(event, Provenance(event_id, event_id, event_id))
        return self.broker.append(*encoded)

    async def settled(self) -> list[Event]:
        """Wait until everything that may be read is processed; return what was emitted since the last time."""
        await self.processed()
        return await self._look()

    async def processed(self) -> None:
        """Wait until everything that may be read is processed. TimeoutError says what the loop waits for."""
        name, topics = self._processor.name, self._processor.topics
        if not await self.broker.until(lambda: not self.broker.behind(name, topics), DEADLINE_S):
            raise TimeoutError(f"{name} did not process everything in {DEADLINE_S} s: {self._loop.health()}")

    def emitted(self) -> list[Event]:
        """Return every event that was emitted, in order; dead letters are apart."""
        return list(self._emitted)

    def letters(self) -> list[DeadLetter]:
        """Return every dead letter, in order."""
        return list(self._letters)

    def health(self) -> str | None:
        """Return why the loop does not consume, None when it does."""
        return self._loop.health()

    async def restart(self) -> None:
        """Stop the loop and start another, as a deployment does: it recovers, and goes on where it was."""
        await self._stop()
        self._start()

    async def _open_codec(self, *, emits: Any, handles: Any) -> Codec:
        return await Codec.open(self.broker.schemas, "/test", emits=emits, handles=handles, prefix="")

    async def _resume(self) -> None:
        """Begin where the database is: an earlier kit may have used it."""
        if self._engine is None:
            return
        async with transaction(self._engine) as connection:
            rows = await connection.execute(_POSITIONS, {"group": self._processor.name})
            positions = {Partition(topic, number): offset for topic, number, offset in rows}
        self.broker.start_at(self._processor.name, positions)

    def _start(self) -> None:
        self._loop = Loop(
            self._processor,
            engine=self._engine,
            kafka=self.broker,
            codec=self._codec,
            resources=self._resources,
            silent_s=0.0,
        )
        self._task = asyncio.create_task(self._loop.run())

    async def _stop(self) -> None:
        await self._loop.stop()
        await self._task

    async def _look(self) -> list[Event]:
        sent = self.broker.sent_by(self._processor.name)
        new, self._read = sent[self._read :], len(sent)
        letters = topic_of(self._processor.name)
        self._letters += [_letter(record) for record in new if record.source.topic == letters]
        events = [record for record in new if record.source.topic != letters]
        await self._reader.learn(events)
        decoded = [entry.event for entry in map(self._reader.decode, events) if entry.event is not None]
        self._emitted += decoded
        return decoded


def _letter(record: Record) -> DeadLetter:
    def told(name: str) -> str:
        return text_header(record.headers, f"dlq_{name}")

    source = Partition(told("topic"), int(told("partition")))
    return DeadLetter(told("kind"), told("why"), source, told("event_id"), record.value)
