"""Step 4: PostgreSQL decides. One transaction moves the position, claims, runs the handlers, stores their outputs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from exactly_once.answering import Answering
from exactly_once.batch import Batch, Entry, Output, Positions
from exactly_once.claims import Claims
from exactly_once.codec import Codec
from exactly_once.dead_letters import DeadLetterLimit
from exactly_once.errors import ExactlyOnceError, RejectRecord, sentence_of
from exactly_once.event import Event
from exactly_once.inbox import Inbox
from exactly_once.pace import ATTEMPTS_AT_A_BUG, Backoff, stretches
from exactly_once.processor import Processor, WorkingSet
from exactly_once.transactions import transaction

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Decider:
    """Runs batches of one processor through PostgreSQL."""

    processor: Processor
    engine: AsyncEngine
    inbox: Inbox
    codec: Codec
    limit: DeadLetterLimit = field(default_factory=DeadLetterLimit)

    async def decide(self, batch: Batch, epochs: Positions) -> list[Output]:
        """Return the outputs of a batch, decided and stored.

        A batch that fails is halved until the record is alone that is rejected, or has a bug: its neighbours pass.
        Fenced: another process owns these partitions. Retryable: PostgreSQL refused, or its answer was lost.
        """
        try:
            return await self._transact(batch, epochs)
        except RejectRecord as error:
            if len(batch.entries) == 1:
                return await self._reject(batch, epochs, "rejected", str(error))
        except ExactlyOnceError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a handler or a working set raises: a bug, and its recovery is isolation
            if len(batch.entries) <= 1:
                return await self._isolate(batch, epochs, error)
        return [output for half in batch.halves() for output in await self.decide(half, epochs)]

    async def _isolate(self, batch: Batch, epochs: Positions, error: Exception) -> list[Output]:
        """Try a lone record again, then make it a dead letter of class `bug`."""
        backoff = Backoff()
        for _ in range(ATTEMPTS_AT_A_BUG - 1):
            try:
                await backoff.wait()
                return await self._transact(batch, epochs)
            except ExactlyOnceError:
                raise
            except Exception as again:  # noqa: BLE001  # the same bug again: counted, then buried
                error = again
        if not batch.entries:
            raise error
        entry = batch.entries[0]
        log.error("handler.bug", record=entry.record[:2], event_id=entry.event_id, exc_info=error)
        return await self._reject(batch, epochs, "bug", sentence_of(error))

    async def _reject(self, batch: Batch, epochs: Positions, kind: str, why: str) -> list[Output]:
        return await self._transact(replace(batch, entries=[batch.entries[0].rejected(kind, why)]), epochs)

    async def _transact(self, batch: Batch, epochs: Positions) -> list[Output]:
        entries = [entry for entry in batch.entries if entry.event is not None or entry.rejection is not None]
        async with transaction(self.engine) as connection:
            await self.inbox.advance(connection, batch, epochs)
            if not entries:
                return []
            claimed = await Claims(self.inbox.group).claim(connection, entries)
            rejected = [entry.rejection is not None for entry in claimed]
            self.limit.check(rejected)
            outputs = await self._handle(connection, claimed)
            if outputs:
                await self.inbox.store(connection, outputs)
        self.limit.count(rejected)
        return outputs

    async def _handle(self, connection: AsyncConnection, entries: Sequence[Entry]) -> list[Output]:
        sets = await self._load(connection, entries)
        answering = Answering(self.processor, self.codec)
        outputs: list[Output] = []
        async for few in stretches(entries):
            for entry in few:
                outputs += answering.answer(entry, sets)
        for working_set in sets.values():
            await working_set.save(connection)
        return outputs

    async def _load(self, connection: AsyncConnection, entries: Iterable[Entry]) -> dict[type[WorkingSet], WorkingSet]:
        events: dict[type[WorkingSet], list[Event]] = {}
        for entry in entries:
            if entry.event is None or entry.rejection is not None:
                continue
            working_set = self.processor.handlers[type(entry.event)].working_set
            if working_set is not None:
                events.setdefault(working_set, []).append(entry.event)
        in_order = sorted(events, key=lambda each: each.__name__)  # one order of locks for every process
        return {each: await each.load(connection, events[each]) for each in in_order}
