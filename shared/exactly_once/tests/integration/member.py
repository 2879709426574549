"""A member of the stage's group that goes step by step, where a loop runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.exactly_once.tests.faults.tally import NAME, processor
from shared.exactly_once.tests.integration.stage import DEADLINE_S, Stage

from exactly_once.batch import Batch, Entry, Output
from exactly_once.decide import Decider
from exactly_once.inbox import Inbox
from exactly_once.kafka.consumer import GroupConsumer
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.producer import TransactionalProducer
from exactly_once.recovery import Ownership, Recovery


@dataclass
class Member:
    """What a loop is made of, step by step."""

    stage: Stage
    consumer: GroupConsumer
    producer: TransactionalProducer
    membership: Membership

    async def recover(self) -> Ownership:
        """Recover, and be ready to poll."""
        recovery = Recovery(self.stage.engine, Inbox(NAME), self.consumer, self.producer)
        ownership = await recovery.recover(self.membership)
        self.consumer.resume_at(self.membership, ownership.positions)
        return ownership

    async def poll(self, ownership: Ownership, number: int) -> Batch:
        """Return the next records as a batch."""
        entries, positions = list[Entry](), ownership.positions
        async with asyncio.timeout(DEADLINE_S):
            while len(entries) < number:
                polled = await self.consumer.poll(self.membership, 0.5, number - len(entries))
                await self.stage.codec.learn(polled.records)
                entries += [self.stage.codec.decode(record) for record in polled.records]
                positions = polled.positions
        moved = {place: end for place, end in positions.items() if end != ownership.positions[place]}
        return Batch(entries, {place: ownership.positions[place] for place in moved}, moved)

    async def decide(self, ownership: Ownership, number: int) -> tuple[list[Output], Batch]:
        """Decide the next records in PostgreSQL; return what is to be published."""
        batch = await self.poll(ownership, number)
        decider = Decider(processor(), self.stage.engine, Inbox(NAME), self.stage.codec)
        return list(await decider.decide(batch, ownership.epochs)), batch


@asynccontextmanager
async def a_member(stage: Stage, instance: str = "1") -> AsyncIterator[Member]:
    """Join the group; leave it behind the block."""
    consumer = GroupConsumer(stage.settings, NAME, ["added"])
    producer = TransactionalProducer(stage.settings, NAME, instance)
    await consumer.ensure()
    yield Member(stage, consumer, producer, await _assigned(consumer))
    await consumer.stop()
    await producer.stop()


async def _assigned(consumer: GroupConsumer) -> Membership:
    async with asyncio.timeout(DEADLINE_S):
        while (membership := await consumer.membership(1.0)) is None:
            continue
    return membership
