"""Step 3: ask the outside world what a batch needs to know, before its transaction, safe to repeat."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from exactly_once.batch import Batch, Entry
from exactly_once.errors import RejectRecord, Retryable, sentence_of
from exactly_once.pace import ATTEMPTS_AT_A_BUG, Backoff
from exactly_once.processor import Processor

AT_ONCE = 32
PATIENT_FAILURES = 4  # a call that fails more often makes the service not ready; it goes on trying

log = structlog.get_logger(__name__)


class Calls:
    """The outside calls of a processor. `resources` are the objects that its call functions ask for by type."""

    def __init__(self, processor: Processor, resources: Sequence[Any]) -> None:
        by_type = {type(resource): resource for resource in resources}
        self._calls = {
            event_type: (call.function, by_type[call.resource]) for event_type, call in processor.outside_calls.items()
        }
        self._free = asyncio.Semaphore(AT_ONCE)
        self._why: str | None = None

    @property
    def why(self) -> str | None:
        """What a call has been waiting for, for some attempts; None when all goes well."""
        return self._why

    def concern(self, batch: Batch) -> bool:
        """Tell whether anything in a batch needs a call."""
        return bool(self._calls) and any(type(entry.event) in self._calls for entry in batch.entries)

    async def ask(self, batch: Batch) -> Batch:
        """Return the batch with the outcomes of its calls; a call is repeated until it has one."""
        if not self.concern(batch):
            return batch
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask_for(entry)) for entry in batch.entries]
        self._why = None
        return replace(batch, entries=[task.result() for task in tasks])

    async def _ask_for(self, entry: Entry) -> Entry:
        event = entry.event
        if event is None or type(event) not in self._calls:
            return entry
        function, resource = self._calls[type(event)]
        backoff = Backoff()
        while True:
            try:
                async with self._free:
                    return entry._replace(outcome=await function(event, resource))
            except RejectRecord as error:
                return entry.rejected("rejected", str(error))
            except Retryable as error:
                log.info("call.retried", event_type=type(event).__name__, event_id=entry.event_id, why=str(error))
                if backoff.failures >= PATIENT_FAILURES:
                    self._why = f"a call is repeated: {error}"
            except Exception as error:
                log.exception("call.bug", event_type=type(event).__name__, event_id=entry.event_id)
                if backoff.failures + 1 >= ATTEMPTS_AT_A_BUG:
                    return entry.rejected("bug", sentence_of(error))
            await backoff.wait()
