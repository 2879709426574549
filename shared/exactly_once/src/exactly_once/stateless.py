"""Step 4 without PostgreSQL, for handlers that keep nothing: what comes of a record comes of the record alone.

Kafka's committed offsets are all that is remembered. A crash, wherever it strikes, leaves each record answered once,
and in order. But no event id is claimed: an event that lies in a topic twice is answered twice, under the same output
ids, so that a group behind it which claims them counts once what says the same; and a dead letter redriven twice is two
records.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from exactly_once import telemetry
from exactly_once.answering import Answering
from exactly_once.batch import Batch, Entry, Output, Partition, Positions
from exactly_once.codec import Codec
from exactly_once.dead_letters import WINDOW, DeadLetterLimit
from exactly_once.edge import Consumer, Producer
from exactly_once.errors import ExactlyOnceError, RejectRecord, TooManyDeadLetters, sentence_of
from exactly_once.kafka.consumer import NEVER_COMMITTED
from exactly_once.kafka.membership import Membership
from exactly_once.pace import stretches
from exactly_once.processor import Processor
from exactly_once.recovery import Ownership

log = structlog.get_logger(__name__)


class _Ended(NamedTuple):
    """Where a record was that is answered, and whether by a dead letter."""

    source: Partition
    offset: int
    is_rejected: bool


@dataclass
class Stateless:
    """Recovers and decides for one group, whose processor neither keeps nor asks anything (TypeError: it does)."""

    processor: Processor
    codec: Codec
    consumer: Consumer
    producer: Producer
    _recent: deque[_Ended] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def __post_init__(self) -> None:
        self._answering = Answering(self.processor, self.codec)
        keeping = {each.function.__name__ for each in self.processor.handlers.values() if each.working_set is not None}
        asking = {each.function.__name__ for each in self.processor.outside_calls.values()}
        if needy := sorted(keeping | asking):
            raise TypeError(f"{', '.join(needy)} of {self.processor.name} can't do without a database: give an engine")

    async def recover(self, membership: Membership) -> Ownership:
        """Take the partitions over, and return where Kafka says that their last holder stopped. There are no epochs."""
        membership.check()
        self.consumer.pause(membership)
        await self.producer.replace()  # the broker aborts what a predecessor had open
        stable = await self.consumer.stable_offsets(membership)
        new = [partition for partition, offset in stable.items() if offset == NEVER_COMMITTED]
        positions = stable | await self.consumer.beginnings(new)
        self._recent = deque((each for each in self._recent if _is_published(each, positions)), WINDOW)
        telemetry.RECOVERIES.labels(self.processor.name).inc()
        return Ownership(positions, {})

    async def decide(self, batch: Batch, epochs: Positions) -> list[Output]:
        """Return the outputs of a batch. TooManyDeadLetters: a bad deploy, and nothing of this batch is passed.

        Retryable: a handler says so.
        """
        del epochs
        outputs: list[Output] = []
        ended: list[Entry] = []
        async for few in stretches(self._ours(batch.entries)):
            for entry in few:
                end, answer = self._answer(entry)
                ended.append(end)
                outputs += answer
            if any(each.rejection for each in ended[-len(few) :]):
                self._check(ended)
        last = ended[-WINDOW:]
        self._recent.extend(_Ended(each.record.source, each.record.offset, bool(each.rejection)) for each in last)
        return outputs

    def _check(self, ended: Sequence[Entry]) -> None:
        """TooManyDeadLetters says what the last one would have been: nobody will find it among the letters."""
        limit = DeadLetterLimit()
        limit.count(each.is_rejected for each in self._recent)
        try:
            limit.check([bool(each.rejection) for each in ended])
        except TooManyDeadLetters as error:
            record, rejection = next((each.record, each.rejection) for each in reversed(ended) if each.rejection)
            place = f"{record.source.topic}/{record.source.partition}/{record.offset}"
            raise TooManyDeadLetters(f"{error}; the last would be {place}: {rejection.why}") from error

    def _ours(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield what this group has to answer: nothing of foreign types, and no redrive of another group's letter."""
        for entry in entries:
            if entry.event is None and entry.rejection is None:
                continue
            if entry.redrive is None:
                yield entry
            elif entry.redrive.group == self.processor.name:
                yield entry._replace(attempt=entry.redrive.attempt + 1)

    def _answer(self, entry: Entry) -> tuple[Entry, Iterable[Output]]:
        """Return how an entry ends, and what comes of it. A bug is not tried again: the handler knows nothing new."""
        try:
            return entry, self._answering.answer(entry, {})
        except RejectRecord as error:
            ended = entry.rejected("rejected", str(error))
        except ExactlyOnceError:
            raise
        except Exception as error:  # whatever a handler raises: a bug
            log.exception("handler.bug", record=entry.record[:2], event_id=entry.event_id)
            ended = entry.rejected("bug", sentence_of(error))
        return ended, self._answering.answer(ended, {})


def _is_published(ended: _Ended, positions: Positions) -> bool:
    """Tell whether a record does not come again: it lies before where we go on, or another member answers for it."""
    return ended.source not in positions or ended.offset < positions[ended.source]
