"""A processor that prices parcels, a broker in memory that can be watched and made to fail, and what happens there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exactly_once import Codec, Event, Loop, Processor, RejectRecord
from exactly_once.batch import Output, Partition, Positions, Record
from exactly_once.edge import Polled
from exactly_once.envelope import Provenance
from exactly_once.errors import PublishFailed
from exactly_once.kafka.membership import Membership
from exactly_once.testing import MemoryBroker
from exactly_once.testing.consumer import MemoryConsumer
from exactly_once.testing.log import End
from exactly_once.testing.producer import MemoryProducer
from exactly_once.transactions import transaction

DEADLINE_S = 5.0
GROUP = "postage"


class ParcelWeighed(Event, topic="parcels", key="parcel_id"):
    parcel_id: str
    grams: int


class ParcelLost(Event, topic="parcels", key="parcel_id"):
    parcel_id: str


class PostagePriced(Event, topic="parcels.postage", key="parcel_id"):
    parcel_id: str
    cents: int


class Nothing:
    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        return cls()

    async def save(self, connection: AsyncConnection) -> None:
        return


def pricing() -> Processor:
    processor = Processor(GROUP)

    @processor.handles(ParcelWeighed)
    def price(parcel: ParcelWeighed, nothing: Nothing) -> PostagePriced:
        if parcel.grams <= 0:
            raise RejectRecord("a parcel weighs something")
        return PostagePriced(parcel_id=parcel.parcel_id, cents=parcel.grams)

    return processor


class Publication(NamedTuple):
    """One call of `publish` that went well."""

    outputs: Sequence[Output]
    positions: Positions | None
    began: float
    ended: float


class Cluster(MemoryBroker):
    """A broker in memory that remembers what it was asked, and fails, dawdles or keeps members waiting on demand."""

    def __init__(self, partitions: int = 1) -> None:
        super().__init__(partitions)
        self.published: list[Publication] = []
        self.replaced = self.stopped = self.polls = self.failures = 0
        self.cost_s = 0.0
        self.lets_in = True
        self.while_stable: Callable[[], Awaitable[None]] | None = None
        self.after_publishing: Callable[[], Awaitable[None]] | None = None

    def consumer(self, name: str, topics: Iterable[str]) -> "WatchedConsumer":
        return WatchedConsumer(self, name, frozenset(topics))

    def producer(self, name: str, instance: str) -> "WatchedProducer":
        return WatchedProducer(self, name, f"{name}.{instance}")

    def committed(self, group: str = GROUP) -> Positions:
        return self.group(group).committed

    async def until(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        """Wait as every broker does, but woken at the deadline and not cancelled.

        Python 3.11 tells no tracer of a coroutine that goes on with an exception: what the loop does next would not
        be covered.
        """
        end = time.monotonic() + deadline_s
        timer = asyncio.get_running_loop().call_later(deadline_s + 0.001, self.changed)  # never early
        while not holds():
            await self._changed.wait()
            if time.monotonic() >= end:
                break
        timer.cancel()
        return holds()

    def abort_something(self, topic: str) -> None:
        """Let another producer abort a transaction: control records are all that is new."""
        opened = self.open("other.1", self.take_over("other.1"))
        self.send(opened, [Output(Partition("other", 0), 0, topic, b"anna", b"aborted", ())])
        self.end(opened, End.ABORTED)


class WatchedConsumer(MemoryConsumer):
    _broker: Cluster

    async def membership(self, patience_s: float) -> Membership | None:
        if self._broker.lets_in:
            return await super().membership(patience_s)
        await asyncio.sleep(0.01)
        return None

    async def poll(self, membership: Membership, timeout_s: float, most: int) -> Polled:
        self._broker.polls += 1
        return await super().poll(membership, timeout_s, most)

    async def stable_offsets(self, membership: Membership) -> Positions:
        if self._broker.while_stable is not None:
            await self._broker.while_stable()
        return await super().stable_offsets(membership)


class WatchedProducer(MemoryProducer):
    _broker: Cluster

    async def replace(self) -> None:
        self._broker.replaced += 1
        await super().replace()

    async def publish(
        self, outputs: Sequence[Output], positions: Positions | None = None, membership: Membership | None = None
    ) -> None:
        began = time.monotonic()
        await asyncio.sleep(self._broker.cost_s)
        if self._broker.failures:
            self._broker.failures -= 1
            self._epoch = None
            raise PublishFailed("the brokers do not answer")
        await super().publish(outputs, positions, membership)
        self._broker.published.append(Publication(outputs, positions, began, time.monotonic()))
        if self._broker.after_publishing is not None:
            await self._broker.after_publishing()

    async def stop(self) -> None:
        self._broker.stopped += 1
        await super().stop()


@dataclass
class Scene:
    """A database and a cluster, with what tests do to them."""

    engine: AsyncEngine
    codec: Codec
    cluster: Cluster
    processor: Processor = field(default_factory=pricing)
    _numbers: int = 0

    @classmethod
    async def open(cls, engine: AsyncEngine, partitions: int = 1) -> Self:
        cluster = Cluster(partitions)
        emits: list[type[Event]] = [ParcelWeighed, ParcelLost, PostagePriced]
        codec = await Codec.open(cluster.schemas, "/test", emits=emits, handles=[ParcelWeighed], prefix="")
        async with transaction(engine) as connection:
            await connection.execute(text("TRUNCATE owner, claims, outputs, outbox, relay"))
        return cls(engine, codec, cluster)

    def put(self, *grams: int) -> list[Record]:
        """Put a parcel for each weight into the topic."""
        return [self.append(ParcelWeighed(parcel_id="anna", grams=each)) for each in grams]

    def append(self, event: Event) -> Record:
        self._numbers += 1
        event_id = f"parcel-{self._numbers}"
        return self.cluster.append(*self.codec.encode(event, Provenance(event_id, event_id, event_id)))

    async def ask(self, statement: str, **places: Any) -> Any:
        async with transaction(self.engine) as connection:
            return (await connection.execute(text(statement), places)).scalar()

    async def do(self, statement: str, **places: Any) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(text(statement), places)

    async def priced(self) -> list[int]:
        """Return the prices that a read_committed reader sees."""
        reader = await Codec.open(self.cluster.schemas, "/test", emits=[], handles=[PostagePriced], prefix="")
        records = self.cluster.records("parcels.postage")
        await reader.learn(records)
        events = [reader.decode(record).event for record in records]
        return [event.cents for event in events if isinstance(event, PostagePriced)]

    @asynccontextmanager
    async def looping(self, **options: Any) -> AsyncIterator[Loop]:
        loop = Loop(self.processor, engine=self.engine, kafka=self.cluster, codec=self.codec, **options)
        async with running(loop):
            yield loop

    async def passed(self) -> None:
        """Wait until everything that may be read is committed."""
        assert await self.cluster.until(lambda: not self.cluster.behind(GROUP, ["parcels"]), DEADLINE_S)


@asynccontextmanager
async def running(worker: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        await worker.stop()
        assert task.done(), "a stop waits for the end"
        await task  # raises what ended it: one that had to be cut off is cancelled


async def eventually(holds: Callable[[], Any], deadline_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(deadline_s):
        while True:
            held = holds()
            if (await held) if isinstance(held, Awaitable) else held:
                return
            await asyncio.sleep(0.005)


async def until_it_gathers(scene: Scene) -> None:
    """Wait until what is there was polled once more."""
    polls = scene.cluster.polls
    await eventually(lambda: scene.cluster.polls > polls)
