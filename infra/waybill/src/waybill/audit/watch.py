"""Keeps looking at a stack at work, for the invariants that need a history."""

import asyncio
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException

from contracts import SERVICES
from waybill.audit.databases import snapshot
from waybill.audit.evidence import Partition
from waybill.audit.history import History, Look, Owned
from waybill.audit.kafka import Topics
from waybill.errors import UsageError
from waybill.output import progress
from waybill.stack import Stack

EVERY_S = 0.5
TELL_EVERY = 20  # looks, missed or not


class Watch:
    """Looks at a stack from entry to exit, and once more at the end: `async with Watch(stack) as watch`.

    Then `audit(stack, history=watch.history)` judges what was seen. Entry raises UsageError where a part can't be
    read; later a look that fails is counted as missed, since whoever watches also breaks things.
    """

    def __init__(self, stack: Stack, *, every_s: float = EVERY_S) -> None:
        self.history = History()
        self._stack, self._every_s = stack, every_s
        self._topics = Topics(stack)
        self._looking: asyncio.Task[None] | None = None
        self._missed_why = ""

    async def __aenter__(self) -> Self:
        try:
            await self.look()
        except KafkaException as error:
            raise UsageError(f"Kafka can't be read: {error.args[0].str()}; see `waybill status`") from error
        self._looking = asyncio.create_task(self._keep_looking())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        if kind is None:
            await self._look_if_possible()

    async def look(self) -> None:
        """Take one look now, and tell on standard error what is newly wrong."""
        committed = await asyncio.to_thread(self._committed)
        owned = dict(zip(SERVICES, await asyncio.gather(*map(self._owned, SERVICES)), strict=True))
        for violation in self.history.add(Look(committed, owned, await self._statuses())):
            progress(f"watch: {violation.subject}: {violation.what}")

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._look_if_possible()
            if (self.history.looks + self.history.missed) % TELL_EVERY == 0:
                progress(f"watch: {self.history.summary}")

    async def _look_if_possible(self) -> None:
        try:
            await self.look()
        except (UsageError, KafkaException) as error:
            self.history.miss()
            self._tell_missed(str(error) if isinstance(error, UsageError) else error.args[0].str())
        else:
            self._missed_why = ""

    def _tell_missed(self, why: str) -> None:
        """Tell why a look was missed, once while it stays so."""
        if why != self._missed_why:
            progress(f"watch: missed a look: {why}")
        self._missed_why = why

    def _committed(self) -> Mapping[str, Mapping[Partition, int]]:
        return {service: self._topics.committed(service) for service in SERVICES}

    async def _owned(self, service: str) -> Mapping[Partition, Owned]:
        async with snapshot(self._stack, service) as connection:
            rows = await connection.fetch("SELECT topic, partition, epoch, next_offset FROM owner")
        return {(topic, partition): Owned(epoch, next_offset) for topic, partition, epoch, next_offset in rows}

    async def _statuses(self) -> Mapping[str, str]:
        async with snapshot(self._stack, "checkout") as connection:
            return dict(map(tuple, await connection.fetch("SELECT order_id::text, status FROM orders")))
