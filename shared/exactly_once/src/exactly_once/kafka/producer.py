"""The transactional producer: all or nothing, fenced by the group's generation, never trusted after a failure."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.codec import lz4_encode
from aiokafka.errors import KafkaError
from aiokafka.producer import sender
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record._crecords import default_records
from aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

from exactly_once.batch import Output, Positions
from exactly_once.errors import FencedByGroup, PublishFailed, Retryable
from exactly_once.kafka.closing import closed
from exactly_once.kafka.doubt import watch
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.partitioning import placed
from exactly_once.kafka.requests import TxnOffsetCommit
from exactly_once.kafka.settings import (
    BACKOFF_MS,
    PRODUCER_REQUEST_TIMEOUT_MS,
    START_DEADLINE_S,
    TRANSACTION_TIMEOUT_MS,
    KafkaSettings,
)

ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, FENCED_INSTANCE_ID = 22, 25, 27, 82
REFUSED_BY_GROUP = {ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, FENCED_INSTANCE_ID}
LZ4_LEVEL = 1
PUBLISH_DEADLINE_S = 10.0  # below min ISR neither `send` nor `commit_transaction` keeps a time-out of its own

log = structlog.get_logger(__name__)
sender.BACKOFF_OVERRIDE = BACKOFF_MS / 1000
# aiokafka has no setting for it: its level 9 takes more than ten times as long, to save less than a tenth of the bytes
vars(default_records)["lz4_encode"] = partial(lz4_encode, level=LZ4_LEVEL)


class _FencedCommit(sender.TxnOffsetCommitHandler):
    """Commits offsets as the captured member: aiokafka's own version 0 carries no generation (KIP-447)."""

    def create_request(self) -> TxnOffsetCommit:
        manager, membership = self._sender._txn_manager, self._sender.membership
        topics: dict[str, list[tuple[int, int]]] = {}
        for place, meta in sorted(self._offsets.items()):
            topics.setdefault(place.topic, []).append((place.partition, meta.offset))
        return TxnOffsetCommit(
            transactional_id=manager.transactional_id,
            group_id=self._group_id,
            producer_id=manager.producer_id,
            producer_epoch=manager.producer_epoch,
            generation_id=membership.generation,
            member_id=membership.member_id,
            topics=topics,
        )

    def handle_response(self, response: Any) -> float | None:
        errors = [(topic, [(number, code) for number, code, _ in places]) for topic, places, _ in response.errors]
        if refused := {code for _, places in errors for _, code in places} & REFUSED_BY_GROUP:
            reason = FencedByGroup(f"the group refused the commit of {self._group_id} (error {min(refused)})")
            self._sender._txn_manager.error_transaction(reason)
            return None
        backoff: float | None = super().handle_response(SimpleNamespace(errors=errors))
        return backoff


class _FencingSender(sender.Sender):
    membership: Membership

    async def _do_txn_offset_commit(self, offsets: dict[TopicPartition, OffsetAndMetadata], group: str) -> None:
        node = await self._find_coordinator(sender.CoordinationType.GROUP, group)
        await _FencedCommit(self, offsets, group).do(node)


class _Producer(AIOKafkaProducer):
    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        super().__init__(
            **settings.client_options(transactional_id),
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=PRODUCER_REQUEST_TIMEOUT_MS,
            retry_backoff_ms=BACKOFF_MS,
            max_batch_size=512 * 1024,
            compression_type="lz4",
        )
        self._sender = _FencingSender(
            self.client,
            acks=-1,
            txn_manager=self._txn_manager,
            retry_backoff_ms=BACKOFF_MS,
            message_accumulator=self._message_accumulator,
            request_timeout_ms=PRODUCER_REQUEST_TIMEOUT_MS,
        )
        watch(self._sender)

    async def send_all(self, outputs: Sequence[Output], prefix: str) -> list[asyncio.Future[RecordMetadata]]:
        """Send outputs in order, and return the acknowledgement of each batch that they fill.

        `send` would make one of each record, which costs more than to put the record into its batch.
        """
        topics = {output.out_topic for output in outputs}
        partitions = {topic: len(await self.partitions_for(prefix + topic)) for topic in topics}
        places = placed(outputs, partitions)
        rounds = zip_longest(*map(self._batches, places.values()))  # a partition's next batch waits for the one before
        return [
            await self.send_batch(batch, prefix + topic, partition=number)
            for batches in rounds
            for (topic, number), batch in zip(places, batches, strict=True)
            if batch is not None
        ]

    def _batches(self, outputs: Iterable[Output]) -> Iterator[BatchBuilder]:
        batch = self.create_batch()
        for output in outputs:
            if not _takes(batch, output):
                yield batch
                batch = self.create_batch()
                _takes(batch, output)  # its first record, however large
        yield batch

    async def commit_as(self, membership: Membership, offsets: dict[TopicPartition, int], group: str) -> None:
        self._sender.membership = membership
        await self.send_offsets_to_transaction(offsets, group)

    async def dispose(self) -> None:
        """Stop whatever state it is in; what it had open is aborted by its successor's InitProducerId."""
        if not await closed(self.stop()):
            log.info("producer.stopped_hard")
            if self._sender.sender_task is not None:
                self._sender.sender_task.cancel()
            await closed(self.client.close())
        ended = self._txn_manager._transaction_waiter
        if ended is not None and ended.done() and not ended.cancelled():
            ended.exception()  # seen, so that asyncio does not report it as forgotten


class TransactionalProducer:
    """Publishes batches, each in one transaction of a static transactional id."""

    def __init__(self, settings: KafkaSettings, name: str, instance: str) -> None:
        self._settings = settings
        self._group = f"{settings.prefix}{name}"
        self._transactional_id = f"{self._group}.{instance}"
        self._producer: _Producer | None = None

    async def replace(self) -> None:
        """Start a fresh producer with the same id: the broker aborts what was open and fences what still lives.

        The only answer to any failure in a transaction: `abort_transaction` must not be trusted after one (it
        forgets what was in the transaction, and the next commit publishes it). Retryable: it does not start.
        """
        await self.stop()
        producer = _Producer(self._settings, self._transactional_id)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                await producer.start()
        except (KafkaError, TimeoutError, asyncio.CancelledError) as error:
            await producer.dispose()
            if _is_ours(error):
                raise
            raise Retryable(_not_started(self._settings, self._transactional_id, error)) from error
        self._producer = producer

    async def publish(
        self, outputs: Sequence[Output], positions: Positions | None = None, membership: Membership | None = None
    ) -> None:
        """Publish outputs in order, and positions as this member's offsets, in one transaction.

        FencedByGroup: the group refused the offsets, nothing is visible. PublishFailed: the end is unknown, or
        the transaction is open; the producer must be replaced either way.
        """
        if membership is not None:
            membership.check()
        producer = self._producer
        if producer is None:
            raise PublishFailed("there is no producer: an earlier transaction failed")
        self._producer = None  # until the commit is answered, no other transaction may use it
        try:
            async with asyncio.timeout(PUBLISH_DEADLINE_S):
                await self._transact(producer, outputs, positions, membership)
        except BaseException as error:
            await producer.dispose()
            failures = KafkaError | TimeoutError | AssertionError | asyncio.InvalidStateError | asyncio.CancelledError
            if isinstance(error, failures) and not _is_ours(error):
                raise PublishFailed(f"{self._transactional_id}: {error!r}") from error
            raise
        self._producer = producer

    async def _transact(
        self, producer: _Producer, outputs: Sequence[Output], positions: Positions | None, membership: Membership | None
    ) -> None:
        await producer.begin_transaction()
        prefix = self._settings.prefix
        sent = await producer.send_all(outputs, prefix)
        # Every acknowledgement is awaited: commit_transaction() succeeds even after a send has failed.
        answers = await asyncio.gather(*sent, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        if positions and membership is not None:
            offsets = {TopicPartition(prefix + topic, number): at for (topic, number), at in positions.items()}
            await producer.commit_as(membership, offsets, self._group)
        await producer.commit_transaction()

    async def stop(self) -> None:
        """Stop the producer, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.dispose()


def _takes(batch: BatchBuilder, output: Output) -> bool:
    """Put an output into a batch; False where it is full."""
    headers = list(output.headers)
    return batch.append(timestamp=None, key=output.key, value=output.value, headers=headers) is not None


def _is_ours(error: BaseException) -> bool:
    """Tell whether our caller was cancelled, and not a task within aiokafka, which raises the same in its callers."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _not_started(settings: KafkaSettings, transactional_id: str, error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, KafkaError) else None  # of a time-out it is a cancellation: no news
    return f"no producer {transactional_id} as user {settings.user} at {settings.bootstrap}: {cause or error!r}"
