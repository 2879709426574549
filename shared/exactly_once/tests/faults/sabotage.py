"""Takes one fence out of the library in a process of the lab, so that a test can show what it protects from."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import text

from exactly_once import inbox
from exactly_once.kafka import consumer, producer

LONGER_THAN_A_SESSION_S = 9.0
LONGER_THAN_A_TEST_MS = 60_000  # the most that the brokers allow
HEARTBEATS_S = 5


def _commit_as_who_we_are_now() -> None:
    """Commit with the coordinator's live generation instead of the captured one."""
    consumers: list[Any] = []
    assigned, commit = consumer.GroupConsumer.assigned, producer._FencingSender._do_txn_offset_commit

    def remember(self: Any, places: Any) -> None:
        consumers[:] = [self]
        assigned(self, places)

    async def commit_live(self: Any, offsets: Any, group: str) -> None:
        captured, coordinator = self.membership, consumers[0]._consumer._coordinator
        for _ in range(HEARTBEATS_S * 20):  # a process that was stopped hears by its next heartbeat what it missed
            if coordinator.generation != captured.generation:
                break
            await asyncio.sleep(0.05)
        live = coordinator.generation, coordinator.member_id
        if coordinator.generation < 0:  # as at the instant of the reset, before the broker proposes a new id
            live = coordinator.generation, ""
        self.membership = replace(captured, generation=live[0], member_id=live[1])
        await commit(self, offsets, group)

    consumer.GroupConsumer.assigned = remember  # type: ignore[method-assign]
    producer._FencingSender._do_txn_offset_commit = commit_live  # type: ignore[method-assign]


def _let_anybody_advance() -> None:
    """Compare neither the epoch nor the position: each alone would still refuse the zombie."""
    statement = str(inbox._ADVANCE)
    compared = "\n  AND o.epoch = p.epoch AND o.next_offset = p.start"
    if compared not in statement:
        raise RuntimeError("the statement has changed: so must this")
    inbox._ADVANCE = text(statement.replace(compared, ""))


def _trust_an_abort() -> None:
    """Abort and go on with the same producer, as aiokafka's documentation has it."""
    vars(producer)["TRANSACTION_TIMEOUT_MS"] = LONGER_THAN_A_TEST_MS
    publish, fresh = producer.TransactionalProducer.publish, producer.TransactionalProducer.replace

    async def trusting(self: Any, *arguments: Any) -> None:
        kept = self._producer
        if kept is not None:
            kept.dispose = kept.abort_transaction
        try:
            await publish(self, *arguments)
        except BaseException:
            self._producer = kept
            raise

    async def not_again(self: Any) -> None:
        if self._producer is None:
            await fresh(self)

    producer.TransactionalProducer.publish = trusting  # type: ignore[method-assign,assignment]
    producer.TransactionalProducer.replace = not_again  # type: ignore[method-assign]


def _wait_in_the_listener() -> None:
    """Do what takes long in the callback itself."""
    capture = consumer._Capture.on_partitions_assigned

    async def wait(self: Any, assigned: Any) -> None:
        capture(self, assigned)
        await asyncio.sleep(LONGER_THAN_A_SESSION_S)

    consumer._Capture.on_partitions_assigned = wait  # type: ignore[method-assign,assignment]


FENCES = {
    "captured generation": _commit_as_who_we_are_now,
    "compare and set": _let_anybody_advance,
    "replaced producer": _trust_an_abort,
    "listener that only captures": _wait_in_the_listener,
}


def take_out(fences: Iterable[str]) -> None:
    """Take these fences out of this process."""
    for each in fences:
        FENCES[each]()
