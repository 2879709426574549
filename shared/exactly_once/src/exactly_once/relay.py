"""Publishes the outbox in order, each row once: a batch is labelled in PostgreSQL, published with its label, deleted.

Which process relays is a lease in the relay row, for progress only. The fences are the row's epoch in PostgreSQL and
the static transactional id in Kafka.
"""

import asyncio
import json
import time
import uuid
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import telemetry
from exactly_once.batch import Output, Partition
from exactly_once.doorbell import listening
from exactly_once.edge import Edge
from exactly_once.errors import Fenced, Halted
from exactly_once.kafka.cluster import edge_to
from exactly_once.kafka.settings import KafkaSettings
from exactly_once.relay_store import LEASE_S, Label, RelayStore, Taken
from exactly_once.transactions import transaction
from exactly_once.worker import Worker

MOST_ROWS = 2_000
IDLE_POLL_S = 1.0  # what a lost wake-up costs; it never costs a row
RENEW_S = LEASE_S / 5
RING_REST_S = 0.02  # one ring speaks for all commits since the last
INSTANCE = "relay"  # every process of a service relays under one transactional id

NOTHING_YET = Label(0, uuid.UUID(int=0), [])
REMEDY = "give the row of `relay` the number that the topic ends with (batch NULL, rows empty); then start it again"


class Progress(NamedTuple):
    """What a relay publishes with each batch: its number and its identity."""

    number: int
    batch: str | None


def progress_topic(name: str) -> str:
    """Return the logical topic in which a service's relay keeps its progress."""
    return f"{name}.relay"


class Relay(Worker):
    """One service's relay. Every process of the service runs one; one of them at a time leads."""

    def __init__(self, name: str, *, engine: AsyncEngine, kafka: KafkaSettings | Edge) -> None:
        super().__init__(name)
        self._engine = engine
        self._edge = edge_to(kafka)
        self._store = RelayStore(name)
        self._producer = self._edge.producer(name, INSTANCE)
        self._holder = str(uuid.uuid4())
        self._leased_until = 0.0
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Say that rows were committed: call it after the commit."""
        self._awake.set()

    async def stop(self) -> None:
        """Let the batch under way end and hand the lease over."""
        self._stopping.set()
        self.wake()
        await super().stop()

    async def _work(self) -> None:
        if await self._leads():
            async with listening(self._engine.url, self._store.channel, self.wake):
                await self._relay()
        else:
            await self._stand_by()

    async def _close(self) -> None:
        await self._producer.stop()

    async def _relay(self) -> None:
        """Take over, finish what was on its way, then publish batch after batch while the lease is ours."""
        epoch = await self._take_over()
        self._why = None
        while not self._stopping.is_set() and await self._leads():
            await asyncio.sleep(self._pace.rest_s)
            self._awake.clear()
            label, rows = await self._label(epoch)
            if label is None:
                await self._sleep(IDLE_POLL_S)
            else:
                await self._publish(label, rows)
                await self._delete(epoch, label)
        await self._hand_over()

    async def _stand_by(self) -> None:
        """Until it is time to ask for the lease again, tell the leader of what this process committed."""
        self._why = None
        end = time.monotonic() + RENEW_S
        while (rest := end - time.monotonic()) > 0 and not self._stopping.is_set():
            await self._sleep(rest)
            if self._awake.is_set() and not self._stopping.is_set():
                self._awake.clear()
                async with transaction(self._engine) as connection:
                    await self._store.ring(connection)
                await asyncio.sleep(RING_REST_S)

    async def _take_over(self) -> int:
        """Fence every other relay in Kafka and in PostgreSQL, and finish the batch that was on its way."""
        await self._producer.replace()
        async with transaction(self._engine) as connection:
            taken = await self._store.bump(connection)
        published = await self._published(taken)  # only now: nothing of a predecessor can arrive any more
        if taken.label is not None:
            if published != str(taken.label.batch):
                async with transaction(self._engine) as connection:
                    rows = await self._store.rows(connection, taken.label)
                await self._publish(taken.label, rows)
            await self._delete(taken.epoch, taken.label)
        return taken.epoch

    async def _published(self, taken: Taken) -> str | None:
        """Return the batch that the progress topic names last. Halted where it does not fit PostgreSQL."""
        topic = progress_topic(self._name)
        value = await self._edge.last_value(topic)
        if value is None and taken.last > 0:
            raise Halted(
                f"the topic {topic} is empty, but PostgreSQL has labelled {taken.last} batches: the topic lost its "
                f"records. Find out what of the outbox is already in its topics, delete those rows, and {REMEDY}"
            )
        if value is None:  # from now on an empty topic means a loss, also while the first batch is on its way
            await self._producer.publish([self._progress(NOTHING_YET)])
            return None
        number, batch = Progress(**json.loads(value))
        if number > taken.last:
            raise Halted(
                f"the relay's progress {number} is ahead of PostgreSQL's {taken.last}: PostgreSQL lost commits (was a "
                f"backup restored?). Find out what of the outbox is already in its topics, delete those rows, and "
                f"{REMEDY}"
            )
        if number < taken.last - (taken.label is not None):
            raise Halted(
                f"the topic {topic} ends at {number}, but {taken.last} batches were published: the topic lost records. "
                f"Find out what else Kafka lost, and {REMEDY}"
            )
        return batch

    async def _label(self, epoch: int) -> tuple[Label | None, list[Output]]:
        async with transaction(self._engine) as connection:
            label = await self._store.label(connection, epoch, MOST_ROWS)
            if label is not None:
                return label, await self._store.rows(connection, label)
            if await self._store.is_fenced(connection, epoch):
                raise Fenced(f"the relay of {self._name} was taken over")
            return None, []

    async def _publish(self, label: Label, rows: list[Output]) -> None:
        started = time.monotonic()
        await self._producer.publish([*rows, self._progress(label)])
        self._pace.spent("publish", time.monotonic() - started, len(rows))
        telemetry.RELAYED.labels(self._name).inc(len(rows))

    async def _delete(self, epoch: int, label: Label) -> None:
        async with transaction(self._engine) as connection:
            deleted = await self._store.delete(connection, epoch, label)
        if not deleted:
            raise Fenced(f"the relay of {self._name} was taken over")
        self._backoff.reset()

    def _progress(self, label: Label) -> Output:
        batch = None if label is NOTHING_YET else str(label.batch)
        value = json.dumps(Progress(label.number, batch)._asdict()).encode()
        topic = progress_topic(self._name)
        return Output(Partition(topic, 0), label.number, topic, b"progress", value, ())

    async def _leads(self) -> bool:
        """Take or renew the lease, at most once a second."""
        if time.monotonic() < self._leased_until - LEASE_S + RENEW_S:
            return True
        asked = time.monotonic()
        async with transaction(self._engine) as connection:
            await self._store.introduce(connection)
            leads = await self._store.lease(connection, self._holder)
        self._leased_until = asked + LEASE_S if leads else 0.0
        return leads

    async def _hand_over(self) -> None:
        self._leased_until = 0.0
        async with transaction(self._engine) as connection:
            await self._store.release(connection, self._holder)

    async def _sleep(self, longest_s: float) -> None:
        """Sleep until woken; not at all once stopping."""
        if self._stopping.is_set():
            return
        try:
            async with asyncio.timeout(longest_s):
                await self._awake.wait()
        except TimeoutError:
            return
