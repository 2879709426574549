"""The consumer of a group: it hands out records with the positions behind them, and moves nothing by itself."""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from exactly_once.batch import Partition, Positions, Record
from exactly_once.edge import Polled
from exactly_once.errors import FencedByGroup, Halted, Retryable
from exactly_once.kafka.closing import closed
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.requests import StableOffsetFetch
from exactly_once.kafka.settings import (
    CONSUMER_REQUEST_TIMEOUT_MS,
    REBALANCE_TIMEOUT_MS,
    SESSION_TIMEOUT_MS,
    START_DEADLINE_S,
    KafkaSettings,
)

UNSTABLE_OFFSET_COMMIT = 88
RETRIED = {14, 15, 16, UNSTABLE_OFFSET_COMMIT}  # the coordinator loads, moves, or waits for a transaction's end
STABLE_RETRY_S = 0.01
STABLE_DEADLINE_S = 20.0  # above the transaction time-out and its clean-up
NEVER_COMMITTED = -1

log = structlog.get_logger(__name__)


class _Capture(ConsumerRebalanceListener):
    """Pauses and captures, nothing else: while an awaited callback runs there is no heartbeat."""

    def __init__(self, consumer: "GroupConsumer") -> None:
        self._consumer = consumer

    def on_partitions_revoked(self, _: Iterable[TopicPartition]) -> None:
        self._consumer.revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.assigned(set(assigned))


class GroupConsumer:
    """One member of a consumer group. Topics are logical names; the settings' prefix is put on here."""

    def __init__(self, settings: KafkaSettings, name: str, topics: Iterable[str]) -> None:
        self._settings = settings
        self._group = settings.prefix + name
        self._topics = sorted(settings.prefix + topic for topic in topics)
        self._consumer: Any = None
        self._membership: Membership | None = None
        self._assigned = asyncio.Event()
        self._failed = False

    async def ensure(self) -> None:
        """Join the group, again where the last membership failed: a coordination task never comes back by itself."""
        if self._consumer is None or self._failed:
            await self.stop()
            await self._start()

    async def _start(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._settings.client_options(self._group),
            group_id=self._group,
            partition_assignment_strategy=(RangePartitionAssignor,),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=SESSION_TIMEOUT_MS // 4,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            request_timeout_ms=CONSUMER_REQUEST_TIMEOUT_MS,
            retry_backoff_ms=20,
        )
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                await consumer.start()
        except (KafkaError, TimeoutError) as error:
            await closed(consumer.stop())
            raise Retryable(
                f"no consumer of {self._group} as user {self._settings.user} at {self._settings.bootstrap}: {error!r}"
            ) from error
        consumer.subscribe(self._topics, listener=_Capture(self))
        self._consumer, self._failed = consumer, False

    async def stop(self) -> None:
        """Leave the group."""
        self.revoked()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await closed(consumer.stop())

    def assigned(self, places: set[TopicPartition]) -> None:
        """Capture a new assignment before anything can be fetched for it."""
        if self._consumer is None:  # it is leaving the group
            return
        self._consumer.pause(*places)
        for place in places:
            self._consumer.seek(place, 0)  # paused; it only keeps aiokafka from looking up a position of its own
        coordinator = self._consumer._coordinator
        self._membership = Membership(
            coordinator.generation,
            coordinator.member_id,
            frozenset(self._logical(place) for place in places),
            self._consumer._subscription.subscription.assignment,
        )
        self._assigned.set()

    def revoked(self) -> None:
        """Forget the assignment; a batch under way keeps what it captured."""
        self._membership = None
        self._assigned.clear()

    async def membership(self, patience_s: float) -> Membership | None:
        """Return the current membership, None if there is none within `patience_s`."""
        try:
            # aiokafka lets nobody join again who has not polled for five minutes (a long outage of the database), until
            # it polls: who waits for an assignment counts as polling.
            with self._consumer._subscription.fetch_context():
                async with asyncio.timeout(patience_s):
                    await self._assigned.wait()
        except TimeoutError:
            self._check()
        return self._membership

    def holds(self, membership: Membership) -> bool:
        """Tell whether this is still what the group said last."""
        return self._membership is membership

    async def poll(self, membership: Membership, timeout_s: float, most: int) -> Polled:
        """Return what has arrived. FencedByGroup: there is a new assignment. Retryable: the fetch failed."""
        try:
            # its own time-out: wait_for() around getmany() can drop a result on Python 3.11
            fetched = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=most)
        except OffsetOutOfRangeError as error:
            raise Halted(f"{self._group}: the topic no longer has our position: {error}") from error
        except UnicodeDecodeError as error:  # aiokafka's: it does not say of which record
            places = ", ".join(f"{each.topic}/{each.partition}" for each in sorted(membership.partitions))
            raise Halted(f"{self._group}: a header's name is no UTF-8 in a record of one of {places}") from error
        except KafkaError as error:
            self._failed = True
            raise Retryable(f"{self._group} can't fetch: {error!r}") from error
        if not self.holds(membership):
            raise FencedByGroup(f"{self._group} was assigned anew")
        positions = {place: self._position(membership, place) for place in membership.partitions}
        return Polled([each for place, found in fetched.items() for each in self._records(place, found)], positions)

    async def stable_offsets(self, membership: Membership) -> Positions:
        """Return the committed offsets, -1 for none, after every pending transactional commit has ended."""
        topics: dict[str, list[int]] = {}
        for topic, number in sorted(membership.partitions):
            topics.setdefault(self._settings.prefix + topic, []).append(number)
        try:
            async with asyncio.timeout(STABLE_DEADLINE_S):
                return await self._retry_offsets(topics)
        except TimeoutError as error:
            raise Retryable(f"{self._group}: a predecessor's transaction does not end") from error

    async def _retry_offsets(self, topics: dict[str, list[int]]) -> Positions:
        while True:
            if (offsets := await self._fetch_offsets(topics)) is not None:
                return offsets
            await asyncio.sleep(STABLE_RETRY_S)

    async def _fetch_offsets(self, topics: dict[str, list[int]]) -> Positions | None:
        coordinator = self._consumer._coordinator
        try:
            await coordinator.ensure_coordinator_known()
            answer = await coordinator._send_req(StableOffsetFetch(self._group, topics))
        except KafkaError as error:
            raise Retryable(f"{self._group} can't fetch its offsets: {error!r}") from error
        found = [(topic, *place) for topic, places, _ in answer.topics for place in places]
        codes = {answer.error_code, *(code for *_, code, _ in found)} - {0}
        if codes & {14, 15, 16}:
            coordinator.coordinator_dead()
        if codes and not codes <= RETRIED:
            raise Retryable(f"{self._group} may not fetch its offsets: errors {codes}")
        if codes:
            return None
        return {
            self._logical(TopicPartition(topic, number)): max(offset, NEVER_COMMITTED)
            for topic, number, offset, *_ in found
        }

    async def beginnings(self, partitions: Iterable[Partition]) -> Positions:
        """Return the first offset that each partition still has."""
        places = [self._physical(partition) for partition in partitions]
        if not places:
            return {}
        try:
            found = await self._consumer.beginning_offsets(places)
        except KafkaError as error:
            raise Retryable(f"{self._group} can't ask for first offsets: {error!r}") from error
        return {self._logical(place): offset for place, offset in found.items()}

    def pause(self, membership: Membership) -> None:
        """Deliver nothing until `resume_at`: between, a recovery reads what is true."""
        if self.holds(membership):
            self._consumer.pause(*(self._physical(partition) for partition in membership.partitions))

    def resume_at(self, membership: Membership, positions: Positions) -> None:
        """Go on at these positions. FencedByGroup: the partitions have been assigned anew."""
        if not self.holds(membership):
            raise FencedByGroup(f"{self._group} was assigned anew")
        for partition, position in positions.items():
            self._consumer.seek(self._physical(partition), position)
        self._consumer.resume(*(self._physical(partition) for partition in positions))

    def _check(self) -> None:
        """Raise what the coordination task failed with; nobody else would."""
        try:
            self._consumer._coordinator.check_errors()
        except KafkaError as error:
            self._failed = True
            raise Retryable(f"{self._group} can't stay in its group: {error!r}") from error

    def _position(self, membership: Membership, partition: Partition) -> int:
        position: int = membership.assignment.state_value(self._physical(partition)).position
        return position

    def _physical(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._settings.prefix + partition.topic, partition.partition)

    def _logical(self, place: TopicPartition) -> Partition:
        return Partition(place.topic.removeprefix(self._settings.prefix), place.partition)

    def _records(self, place: TopicPartition, found: list[Any]) -> list[Record]:
        source = self._logical(place)
        return [
            Record(source, each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in found
        ]
