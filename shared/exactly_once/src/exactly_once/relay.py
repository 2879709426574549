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
from exactly_once.edge import Edge
from exactly_once.errors import Fenced, Halted
from exactly_once.kafka.cluster import edge_to
from exactly_once.kafka.settings import KafkaSettings
from exactly_once.relay_store import LEASE_S, Label, RelayStore, Taken
from exactly_once.transactions import transaction
from exactly_once.worker import Worker

MOST_ROWS = 2_000
IDLE_POLL_S = 0.1  # rows of other processes are seen at the latest after this; our own wake us
RENEW_S = LEASE_S / 5


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
        self._producer = self._edge.producer(name, "relay")
        self._holder = str(uuid.uuid4())
        self._leased_until = 0.0
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Say that rows were committed: call it after the commit."""
        self._awake.set()

    async def stop(self) -> None:
        """Let the batch under way end and hand the lease over."""
        self.wake()
        await super().stop()

    async def _work(self) -> None:
        if await self._leads():
            await self._relay()
        else:  # stand by until the leader's lease ends
            self._why = None
            await self._backoff.wait(self._stopping)

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
                await self._sleep()
            else:
                await self._publish(label, rows)
                await self._delete(epoch, label)
        await self._hand_over()

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
        value = await self._edge.last_value(progress_topic(self._name))
        number, batch = Progress(**json.loads(value)) if value else Progress(0, None)
        if number > taken.last:
            raise Halted(f"the relay's progress {number} is ahead of PostgreSQL's {taken.last}: was a backup restored?")
        if number < taken.last - (taken.label is not None):
            raise Halted(
                f"the relay's progress topic ends at {number}, but {taken.last} were published: it lost records"
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
        self._pace.spent(time.monotonic() - started)
        telemetry.RELAYED.labels(self._name).inc(len(rows))

    async def _delete(self, epoch: int, label: Label) -> None:
        async with transaction(self._engine) as connection:
            if not await self._store.delete(connection, epoch, label):
                raise Fenced(f"the relay of {self._name} was taken over")
        self._backoff.reset()

    def _progress(self, label: Label) -> Output:
        value = json.dumps(Progress(label.number, str(label.batch))._asdict()).encode()
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

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(IDLE_POLL_S):
                await self._awake.wait()
        except TimeoutError:
            return
