"""The cluster that all competitors share: a real stack of its own, less the shop."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it says nothing of them
from confluent_kafka.cimpl import NewTopic
from side_by_side import GaveUp, cpu_s

from waybill.local import control
from waybill.local.layout import Options, cache_folder
from waybill.seen import behind, lets_in
from waybill.stack import Stack
from waybill.testing import forget, free_base_port

PARTITIONS = 3
ANSWER_S = 30.0
Offsets = dict[int, int]


class Cluster:
    """A running stack, less the shop."""

    def __init__(self, stack: Stack, brokers: list[psutil.Process]) -> None:
        self.stack, self.brokers = stack, brokers
        self._admin = AdminClient(self.client)

    @property
    def client(self) -> dict[str, Any]:
        """How a librdkafka client reaches it."""
        return self.stack.kafka_client("operator")

    def brokers_cpu_s(self) -> float:
        """Return the CPU time that the brokers have used."""
        return sum(map(cpu_s, self.brokers))

    def make_topics(self, names: Iterable[str], partitions: int = PARTITIONS) -> None:
        """Make topics as the shop's are: three partitions, as many replicas as there are brokers; all know them then.

        A consumer that meets a broker which does not has nothing assigned, and asks again after five minutes.
        """
        topics = [NewTopic(name, partitions, len(self.brokers)) for name in names]
        for answer in self._admin.create_topics(topics).values():
            answer.result(ANSWER_S)
        if late := behind(self.stack, lets_in(self.client, [topic.topic for topic in topics]), ANSWER_S):
            raise GaveUp(f"{', '.join(late)} did not hear of {', '.join(topic.topic for topic in topics)}")

    def drop_topics(self, names: list[str]) -> None:
        """Delete topics."""
        for answer in self._admin.delete_topics(names).values():
            answer.result(ANSWER_S)

    def ends(self, topic: str, partitions: int, isolation: IsolationLevel) -> Offsets:
        """Return where each of so many partitions ends: the last stable offset, or the last one, by the isolation."""
        asked = {TopicPartition(topic, each): OffsetSpec.latest() for each in range(partitions)}  # type: ignore[no-untyped-call]  # confluent's
        answers = self._admin.list_offsets(asked, isolation_level=isolation)
        return {place.partition: answer.result(ANSWER_S).offset for place, answer in answers.items()}


@contextmanager
def a_cluster(brokers: int) -> Iterator[Cluster]:
    """Run a stack of its own for the length of the block: brokers, PostgreSQL and the registry."""
    os.environ.setdefault("WAYBILL_JIT", "full")  # these brokers live for minutes
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder:
        home = Path(folder) / "home"
        options = Options(
            home=home, cache=cache_folder(), base_port=free_base_port(), with_services=False, brokers=brokers
        )
        running = control.bring_up(options)
        try:
            pids = [each.pid for each in running.processes if each.name.startswith("kafka-") and each.pid]
            yield Cluster(Stack.load(home), [psutil.Process(pid) for pid in pids])
        finally:
            control.take_down(home)
            forget(home)
