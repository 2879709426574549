"""A poisoned record, as a broken producer would send it."""

import time

import confluent_kafka

from waybill.errors import UsageError
from waybill.patience import answered
from waybill.stack import Stack

GARBAGE = b"\x00\xff\xff\xff\xffnot an order"
DEADLINE_S = 20.0


def poison(stack: Stack, topic: str = "orders") -> None:
    """Send undecodable bytes into a topic, with the operator's rights."""
    failures: list[str] = []
    producer = confluent_kafka.Producer(stack.kafka_client("operator") | {"enable.idempotence": "true"})
    producer.produce(
        stack.names.topic(topic),
        value=GARBAGE,
        key=b"poison",
        on_delivery=lambda error, _: failures.append(str(error)) if error else None,
    )
    if producer.flush(DEADLINE_S) or failures:
        raise UsageError(f"the poisoned record can't be sent: {failures or 'no answer'}")


def dead_letters(stack: Stack, service: str) -> int:
    """Return how many dead letters a service has, as a read_committed reader counts them."""
    consumer = confluent_kafka.Consumer(
        stack.kafka_client("auditor")
        | {
            "group.id": stack.names.group("auditor"),
            "isolation.level": "read_committed",
            "enable.partition.eof": "true",
        }
    )
    name = stack.names.topic(f"{service}.dead-letters")
    partitions = answered(lambda: consumer.list_topics(name, timeout=10)).topics[name].partitions
    consumer.assign(
        [confluent_kafka.TopicPartition(name, each, confluent_kafka.OFFSET_BEGINNING) for each in partitions]
    )
    letters, open_ends, deadline = 0, set(partitions), time.monotonic() + DEADLINE_S
    while open_ends and time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            letters += 1
        elif message is not None:
            open_ends.discard(message.partition() or 0)
    consumer.close()
    return letters
