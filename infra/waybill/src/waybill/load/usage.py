"""What a load costs: CPU and memory by process, and the lag that it builds up."""

import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Self

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is exported at run time

from contracts import SERVICES, TOPICS
from waybill.groups import ANSWER_S, GroupOffsets
from waybill.parts import Part
from waybill.patience import answered
from waybill.stack import Stack
from waybill.usage import cpu_seconds, memory

LOOK_EVERY_S = 1.0
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own types lack it


def cpu_of(parts: Iterable[Part]) -> dict[tuple[str, int], float]:
    """Return the CPU time in seconds that each part of the stack, by name and process id, has used.

    A part whose process this machine does not see is left out.
    """
    return {(each.name, each.pid): cpu_seconds(each.pid) for each in parts if each.pid}


def memory_of(parts: Iterable[Part]) -> dict[str, int]:
    """Return the MiB that each part of the stack uses now, where this machine sees its process."""
    return {each.name: memory(each.pid) >> 20 for each in parts if each.pid}


class LagWatch:
    """Looks once a second how many records the services are behind, all together: `now`, and at `most` so far.

    Use it as a context manager.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._admin = AdminClient(dict(stack.kafka_client("auditor")))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.now = self.most = 0
        known = answered(lambda: self._admin.list_topics(timeout=ANSWER_S)).topics
        names = [stack.names.topic(topic.name) for topic in TOPICS]
        self._places = [(name, number) for name in names if name in known for number in known[name].partitions]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _look(self) -> None:
        with ExitStack() as opened:
            groups = [self._opened(opened, service) for service in SERVICES]
            while not self._stopping.wait(LOOK_EVERY_S):
                with suppress(KafkaException):  # a broker that dies meanwhile: the next look will tell
                    self.now = self._lag(groups)
                    self.most = max(self.most, self.now)

    def _opened(self, opened: ExitStack, service: str) -> GroupOffsets:
        return opened.enter_context(GroupOffsets(self._stack.kafka_client("auditor"), self._stack.names.group(service)))

    def _lag(self, groups: list[GroupOffsets]) -> int:
        committed = [group.committed(self._places) for group in groups]
        wanted = {TopicPartition(*place): LATEST for offsets in committed for place in offsets}
        ends = {
            (place.topic, place.partition): future.result().offset
            for place, future in self._admin.list_offsets(wanted).items()
        }
        return sum(max(0, ends[place] - offset) for offsets in committed for place, offset in offsets.items())
