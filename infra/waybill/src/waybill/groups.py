"""Reads what Kafka keeps for a consumer group, without joining it."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, TopicPartition

ANSWER_S = 10.0


class GroupOffsets:
    """The committed offsets of one group. Use it as a context manager; its methods block.

    A consumer asks for them, since librdkafka's admin client ends the whole process with SIGSEGV when a broker
    answers that it is no longer the group's coordinator (it then looks for a group handle that it does not have).
    """

    def __init__(self, client: Mapping[str, str], group: str) -> None:
        self._consumer = Consumer({**client, "group.id": group, "enable.auto.commit": False})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def committed(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the offset of each of these partitions (physical topic, number) that has one. KafkaException."""
        asked = [TopicPartition(topic, number) for topic, number in partitions]
        answered = self._consumer.committed(asked, timeout=ANSWER_S)
        return {(place.topic, place.partition): place.offset for place in answered if place.offset >= 0}
