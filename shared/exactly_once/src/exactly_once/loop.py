"""The exactly-once loop: poll, decode, call out, one PostgreSQL transaction, one Kafka transaction if there is news.

PostgreSQL decides and stores the outputs; Kafka catches up from them after any failure (recovery.py). A reader who
wants to know how it works reads `_consume`, then `Decider.decide`, then `Recovery.recover`; and `Stateless`, which is
both where nothing is kept.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once import telemetry
from exactly_once.batch import Batch, Entry, Output, Positions
from exactly_once.calls import Calls
from exactly_once.codec import Codec
from exactly_once.decide import Decider
from exactly_once.edge import Edge
from exactly_once.errors import Retryable
from exactly_once.inbox import Inbox
from exactly_once.kafka.cluster import edge_to
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.settings import KafkaSettings
from exactly_once.pace import Portion
from exactly_once.processor import Processor
from exactly_once.pruning import CLAIMS_KEPT, EVERY_S, Pruning
from exactly_once.publishing import Publishing
from exactly_once.reading import Reading, moved
from exactly_once.recovery import Recovery
from exactly_once.stateless import Stateless
from exactly_once.worker import Worker

MOST_RECORDS = 2_000
MOST_STATELESS = 4_000  # they take as long as 2,000 that are claimed and stored
IDLE_POLL_S = 0.2
BUSY_POLL_S = 0.01  # at a stretch, while the last batch is published: the publication's end is seen so much later
COMPANY_S = 0.01  # a transaction becomes visible on its partitions' leaders one after the other
SILENT_S = 1.0  # records of which nothing comes, and control records, deserve no Kafka transaction under load


class Options(TypedDict, total=False):
    """What a loop does well without being told."""

    instance: str  # a stable name among the group's processes: "1"
    resources: Sequence[Any]  # what call functions ask for
    most_records: int  # in a transaction: MOST_RECORDS, or MOST_STATELESS
    silent_s: float  # for how long Kafka may not know that records are passed of which nothing came
    claims_kept: timedelta  # longer than any topic keeps a record, or a late copy is processed twice
    prune_every_s: float  # how often older claims go


class Loop(Worker):
    """Consumes for one processor: one consumer, one transactional producer, at most one transaction each a batch."""

    _recovery: Recovery | Stateless
    _decider: Decider | Stateless
    _pruning: Pruning | None = None
    _portion: Portion

    def __init__(
        self,
        processor: Processor,
        *,
        engine: AsyncEngine | None,
        kafka: KafkaSettings | Edge,
        codec: Codec,
        **options: Unpack[Options],
    ) -> None:
        """Prepare. Without an engine Kafka's offsets are all that is kept, and nothing is there to be pruned.

        stateless.py says what that promises; TypeError: the processor needs more.
        """
        super().__init__(processor.name)
        self._codec = codec
        edge = edge_to(kafka)
        self._consumer = edge.consumer(processor.name, processor.topics)
        self._producer = edge.producer(processor.name, options.get("instance", "1"))
        if engine is None:
            self._recovery = self._decider = Stateless(processor, codec, self._consumer, self._producer)
            self._portion = Portion(options.get("most_records", MOST_STATELESS))
        else:
            self._keep(processor, engine, codec, options)
        self._calls = Calls(processor, options.get("resources", ()))
        self._silent_s = options.get("silent_s", SILENT_S)
        self._published_at = time.monotonic()
        self._is_behind = False  # the last batch was full

    def _keep(self, processor: Processor, engine: AsyncEngine, codec: Codec, options: Options) -> None:
        """Decide in a database, and recover from what it keeps."""
        inbox = Inbox(processor.name)
        self._recovery = Recovery(engine, inbox, self._consumer, self._producer)
        self._decider = Decider(processor, engine, inbox, codec)
        kept, every_s = options.get("claims_kept", CLAIMS_KEPT), options.get("prune_every_s", EVERY_S)
        self._pruning = Pruning(engine, inbox, kept, every_s)
        self._portion = Portion(options.get("most_records", MOST_RECORDS))

    def health(self) -> str | None:
        """Return why this loop does not consume, None when it does."""
        return super().health() or self._calls.why

    async def _work(self) -> None:
        await self._consumer.ensure()
        membership = await self._consumer.membership(patience_s=1.0)
        if membership is None:
            self._why = "it waits for its group to assign partitions"
        elif membership.partitions:
            await self._consume(membership)
        else:
            await self._stand_by(membership)

    async def _close(self) -> None:
        await self._consumer.stop()
        await self._producer.stop()

    async def _consume(self, membership: Membership) -> None:
        """Pass batch after batch, for as long as the group leaves these partitions to us.

        While one commits in Kafka, which is then behind PostgreSQL as after any crash, the next one is decided, and
        while PostgreSQL decides that, the one after it is read.
        """
        ownership = await self._recovery.recover(membership)
        decided = ownership.positions
        self._consumer.resume_at(membership, decided)
        self._why = None
        reading = Reading(self._consumer, self._codec, membership, self._portion)
        async with reading, Publishing(decided) as published:
            while not self._stopping.is_set():
                if self._pruning is not None:
                    await self._pruning.run(published.positions, ownership.epochs)
                batch = await self._poll(reading, decided, published)
                if batch and self._calls.concern(batch):
                    await published.ended()  # a call may take for ever, and what is decided waits for nobody
                elif self._is_behind:
                    reading.start()
                outputs = await self._decide(batch, ownership.epochs) if batch else []
                decided = decided | batch.end if batch else decided
                await published.ended()
                moves = moved(published.positions, decided)
                if outputs or (moves and self._was_silent()):
                    published.start(self._publish(outputs, membership, moves), decided)
            await published.ended()
            if moves := moved(published.positions, decided):
                await self._publish([], membership, moves)

    async def _decide(self, batch: Batch, epochs: Positions) -> list[Output]:
        """Pass a batch through PostgreSQL, where there is one."""
        batch = await self._calls.ask(batch)
        try:
            with self._timed("decide", len(batch.entries)):
                outputs = await self._decider.decide(batch, epochs)
        except Retryable:
            self._portion.failed(len(batch.entries))
            raise
        self._portion.decided()
        self._count(batch)
        return outputs

    async def _publish(self, outputs: Sequence[Output], membership: Membership, moves: Positions) -> None:
        with self._timed("publish", len(outputs)):
            await self._producer.publish(outputs, moves, membership)
        self._published_at = time.monotonic()
        self._backoff.reset()

    def _was_silent(self) -> bool:
        """Tell whether the last Kafka transaction is so long ago that positions alone are worth one."""
        return time.monotonic() - self._published_at >= self._silent_s

    async def _poll(self, reading: Reading, positions: Positions, published: Publishing) -> Batch | None:
        """Return the records that have arrived as a batch; None when there is nothing to move."""
        await self._gather(reading, published)
        batch = reading.batch(positions)
        return batch if batch.end and (batch.entries or self._was_silent()) else None

    async def _gather(self, reading: Reading, published: Publishing) -> None:
        """Read what arrives until the last batch is published and a rest is over; when idle, wait for something.

        A full batch is passed on at once, and by a loop that is behind also while the last one is being published. It
        polls all the while: a partition whose records lie in the client's buffer is not fetched again, so that who
        sleeps and then polls gets what was new at the last poll.
        """
        if not self._is_behind:
            await published.ended()
        await reading.caught_up()
        company_at = 0.0
        while True:
            if not (is_busy := published.is_under_way):
                await published.ended()
            due = max(time.monotonic() + self._pace.rest_s, company_at)
            was_idle = not reading
            patience_s = BUSY_POLL_S if is_busy else max(due - time.monotonic(), IDLE_POLL_S if was_idle else 0.0)
            await reading.more(patience_s)
            if was_idle and reading:
                company_at = time.monotonic() + COMPANY_S
            self._is_behind = reading.is_full
            if self._is_behind or not (is_busy or time.monotonic() < max(due, company_at)):
                return

    async def _stand_by(self, membership: Membership) -> None:
        """Have nothing assigned, and say that all is well, until the group says otherwise."""
        self._why = None
        while self._consumer.holds(membership) and not self._stopping.is_set():
            await self._consumer.poll(membership, IDLE_POLL_S, MOST_RECORDS)

    def _count(self, batch: Batch) -> None:
        telemetry.BATCH_RECORDS.labels(self._name).observe(len(batch.entries))
        for (topic, result), number in Counter(map(_result, batch.entries)).items():
            telemetry.RECORDS.labels(self._name, topic, result).inc(number)

    @contextmanager
    def _timed(self, step: str, records: int) -> Iterator[None]:
        started = time.monotonic()
        yield
        spent_s = time.monotonic() - started
        self._pace.spent(step, spent_s, records)
        telemetry.STEP_SECONDS.labels(self._name, step).observe(spent_s)


def _result(entry: Entry) -> tuple[str, str]:
    result = "rejected" if entry.rejection else "skipped" if entry.event is None else "handled"
    return entry.record.source.topic, result
