"""The holder of a transactional id of the broker in memory."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from exactly_once.batch import Output, Positions
from exactly_once.errors import PublishFailed
from exactly_once.kafka.membership import Membership
from exactly_once.testing.log import End

if TYPE_CHECKING:
    from exactly_once.testing.broker import MemoryBroker


class MemoryProducer:
    """What `kafka.producer.TransactionalProducer` is to a real cluster; `edge.Producer` says what it promises."""

    def __init__(self, broker: "MemoryBroker", group: str, transactional_id: str) -> None:
        self._broker, self._group, self._transactional_id = broker, group, transactional_id
        self._epoch: int | None = None

    async def replace(self) -> None:
        """Start anew with the same id: what was open is aborted, what still lives is fenced."""
        self._epoch = self._broker.take_over(self._transactional_id)

    async def publish(
        self, outputs: Sequence[Output], positions: Positions | None = None, membership: Membership | None = None
    ) -> None:
        """Publish in one transaction; one that fails stays open until the producer is replaced, like a real one."""
        if membership is not None:
            membership.check()
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            raise PublishFailed("there is no producer: an earlier transaction failed")
        transaction = self._broker.open(self._transactional_id, epoch)
        self._broker.send(transaction, outputs)
        await asyncio.sleep(0)  # whoever else is about to read or to take over gets to it here, as in reality
        if positions and membership is not None:
            self._broker.send_offsets(transaction, self._group, positions, membership)
        self._broker.end(transaction, End.COMMITTED)
        self._epoch = epoch

    async def stop(self) -> None:
        """Forget the producer; what it had open waits for its successor."""
        self._epoch = None
