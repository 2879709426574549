"""The one answer to every failure: let Kafka catch up with what PostgreSQL decided, then go on from there."""

from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import telemetry
from exactly_once.batch import Partition, Positions
from exactly_once.edge import Consumer, Producer
from exactly_once.errors import Fenced, Halted
from exactly_once.inbox import Inbox, Owned
from exactly_once.kafka.consumer import NEVER_COMMITTED
from exactly_once.kafka.membership import Membership
from exactly_once.transactions import transaction

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Ownership:
    """The positions that a recovery handed over, and the epochs under which they may be moved."""

    positions: Positions
    epochs: Positions


@dataclass(frozen=True)
class Recovery:
    """Recovers one group's partitions."""

    engine: AsyncEngine
    inbox: Inbox
    consumer: Consumer
    producer: Producer

    async def recover(self, membership: Membership) -> Ownership:
        """Take the partitions over, publish what is decided and not yet published, and return where to go on.

        Halted: PostgreSQL or Kafka has lost commits. Fenced: another process took the partitions over meanwhile.
        """
        membership.check()
        membership.check_copartitioned()
        self.consumer.pause(membership)
        await self.producer.replace()  # the broker aborts what a predecessor had open
        await self._adopt(membership)
        epochs = await self._bump(membership)  # waits for a predecessor's commit; only then is anything read
        stable = await self.consumer.stable_offsets(membership)
        owned = await self._read(membership, epochs)
        positions = {partition: row.next_offset for partition, row in owned.items()}
        behind = {
            partition: start for partition, start in stable.items() if _is_behind(partition, start, owned[partition])
        }
        if behind:
            async with transaction(self.engine) as connection:
                outputs = await self.inbox.stored(connection, behind)
            await self.producer.publish(outputs, {partition: positions[partition] for partition in behind}, membership)
            log.info("recovery.published", group=self.inbox.group, outputs=len(outputs), partitions=len(behind))
            telemetry.REPUBLISHED.labels(self.inbox.group).inc(len(outputs))
        telemetry.RECOVERIES.labels(self.inbox.group).inc()
        return Ownership(positions, epochs)

    async def _adopt(self, membership: Membership) -> None:
        """Make owner rows for partitions that this group has never consumed: from their beginning."""
        async with transaction(self.engine) as connection:
            known = await self.inbox.read(connection, membership.partitions)
        new = membership.partitions - known.keys()
        if not new:
            return
        stable = await self.consumer.stable_offsets(membership)
        if lost := sorted(partition for partition in new if stable[partition] != NEVER_COMMITTED):
            raise Halted(f"PostgreSQL has no position of {_named(lost)}, but Kafka has: was a backup restored?")
        beginnings = await self.consumer.beginnings(new)
        async with transaction(self.engine) as connection:
            await self.inbox.adopt(connection, beginnings)

    async def _bump(self, membership: Membership) -> Positions:
        async with transaction(self.engine) as connection:
            owned = await self.inbox.bump(connection, membership.partitions)
        return {partition: row.epoch for partition, row in owned.items()}

    async def _read(self, membership: Membership, epochs: Positions) -> dict[Partition, Owned]:
        async with transaction(self.engine) as connection:
            owned = await self.inbox.read(connection, membership.partitions)
        if {partition: row.epoch for partition, row in owned.items()} != epochs:
            raise Fenced(f"{self.inbox.group}: taken over while it recovered")
        return owned


def _is_behind(partition: Partition, stable: int, row: Owned) -> bool:
    """Tell whether Kafka's offset is behind PostgreSQL's position. Halted where that can't be mended."""
    if stable == NEVER_COMMITTED and row.next_offset == row.pruned_to:
        return True  # nothing is stored, nothing can be missing: only the offset is
    if stable > row.next_offset:
        raise Halted(f"PostgreSQL lost commits: {_named([partition])} is at {row.next_offset}, Kafka at {stable}")
    if stable < row.pruned_to:
        raise Halted(
            f"Kafka lost commits: {_named([partition])} is at {stable}, outputs below {row.pruned_to} are gone"
        )
    return stable < row.next_offset


def _named(partitions: list[Partition]) -> str:
    return ", ".join(f"{topic}/{number}" for topic, number in partitions)
