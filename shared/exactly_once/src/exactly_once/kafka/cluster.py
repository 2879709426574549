"""The real edge: consumers, producers and a reader of one cluster."""

from collections.abc import Iterable
from dataclasses import dataclass

from exactly_once.edge import Edge
from exactly_once.kafka.consumer import GroupConsumer
from exactly_once.kafka.producer import TransactionalProducer
from exactly_once.kafka.progress import last_value
from exactly_once.kafka.settings import KafkaSettings


@dataclass(frozen=True)
class Cluster:
    """A cluster that is reached as the settings say."""

    settings: KafkaSettings

    def consumer(self, name: str, topics: Iterable[str]) -> GroupConsumer:
        """Return a member-to-be of the group `name`."""
        return GroupConsumer(self.settings, name, topics)

    def producer(self, name: str, instance: str) -> TransactionalProducer:
        """Return the producer of the transactional id `name.instance`."""
        return TransactionalProducer(self.settings, name, instance)

    async def last_value(self, topic: str) -> bytes | None:
        """Return the newest committed value in partition 0 of a topic."""
        return await last_value(self.settings, topic)


def edge_to(kafka: KafkaSettings | Edge) -> Edge:
    """Return the edge that is given, or the one to the cluster that the settings name."""
    return Cluster(kafka) if isinstance(kafka, KafkaSettings) else kafka
