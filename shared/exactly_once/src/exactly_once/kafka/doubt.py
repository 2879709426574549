"""A transaction's request that stays unanswered ends the transaction, and with it the producer.

It may still be on its way. aiokafka repeats it with the same epoch; once the repetition is answered, the first one can
arrive in a later transaction and end that one half-done (KIP-890). A successor's epoch fences whatever is late, so
nothing is repeated: the producer fails at once, and the recovery finds out how the transaction ended.
"""

from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, NodeNotReadyError
from aiokafka.producer.sender import Sender

from exactly_once.kafka.requests import TXN_OFFSET_COMMIT

PRODUCE, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN = 0, 24, 25, 26
OF_A_TRANSACTION = {PRODUCE, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT}
NEVER_SENT = (NodeNotReadyError, IncompatibleBrokerVersion)


class Unanswered(KafkaError):
    """A request of a transaction timed out, or its connection broke; not retriable, in aiokafka's sense."""


def watch(sender: Sender) -> None:
    """Let a sender fail at the first unanswered request of a transaction. Everything that it sends passes here."""
    send = sender.client.send

    async def watched(node_id: int, request: Any, **connection: Any) -> Any:
        try:
            return await send(node_id, request, **connection)
        except NEVER_SENT:
            raise
        except KafkaError as error:
            if request.API_KEY not in OF_A_TRANSACTION:
                raise
            unanswered = Unanswered(f"{type(request).__name__} to broker {node_id} stays unanswered: {error!r}")
            _give_up(sender, unanswered)
            raise unanswered from error

    sender.client.send = watched


def _give_up(sender: Sender, reason: Unanswered) -> None:
    if sender._txn_manager.is_fatal_error():
        return
    sender._message_accumulator.fail_all(reason)
    sender._txn_manager.fatal_error(reason)
