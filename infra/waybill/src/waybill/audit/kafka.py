"""Reads the topics with another client than the services: to the end, committed or not, and who is how far."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, but not re-exported

from contracts import AUDITOR, SERVICES, TOPICS
from waybill.audit.evidence import Bounds, Partition, Place
from waybill.errors import UsageError
from waybill.groups import GroupOffsets
from waybill.patience import patiently
from waybill.stack import Stack

BATCH = 5_000
ANSWER_S = 10.0
SILENCE_S = 30.0  # no record and no end of a partition for so long: Kafka does not answer
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client leaves it untyped
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # likewise
Committed = Mapping[Partition, int]


class Raw(NamedTuple):
    """A record as Kafka gave it."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    age_s: float = 0.0


class Topics:
    """The topics of one namespace, read as the auditor. Its methods block: call them in a thread."""

    def __init__(self, stack: Stack) -> None:
        self._names = stack.names
        self._client = stack.kafka_client(AUDITOR)
        self._admin = AdminClient(dict(self._client))
        self._groups = {service: GroupOffsets(self._client, self._names.group(service)) for service in SERVICES}

    def bounds(self) -> dict[Partition, Bounds]:
        """Return the ends of every partition of the contracts' topics, as Kafka counts partitions."""
        partitions = self._partitions()
        low = patiently(lambda: self._offsets(partitions, EARLIEST, IsolationLevel.READ_UNCOMMITTED))
        stable = patiently(lambda: self._offsets(partitions, LATEST, IsolationLevel.READ_COMMITTED))
        high = patiently(lambda: self._offsets(partitions, LATEST, IsolationLevel.READ_UNCOMMITTED))
        return {partition: Bounds(low[partition], stable[partition], high[partition]) for partition in low}

    def committed(self, service: str) -> Committed:
        """Return the offsets that Kafka keeps for a service's group."""
        places = [(each.topic, each.partition) for each in self._partitions()]
        found = patiently(lambda: self._groups[service].committed(places))
        return {(self._names.logical(topic), number): offset for (topic, number), offset in found.items()}

    def committed_records(self, bounds: Mapping[Partition, Bounds]) -> list[Raw]:
        """Return every record that a `read_committed` reader sees, below the last stable offsets given."""
        start = dict.fromkeys(bounds, OFFSET_BEGINNING)
        return [
            Raw(place, message.key(), message.value(), _headers(message), _age_s(message))
            for place, message in self._scan(start, "read_committed")
            if place.offset < bounds[place[:2]].stable
        ]

    def aborted_records(self, bounds: Mapping[Partition, Bounds], visible: set[Place]) -> list[Raw]:
        """Return every record that stands below the last stable offsets and is not visible."""
        start = dict.fromkeys(bounds, OFFSET_BEGINNING)
        return [
            Raw(place, message.key(), message.value(), _headers(message))
            for place, message in self._scan(start, "read_uncommitted")
            if place.offset < bounds[place[:2]].stable and place not in visible
        ]

    def behind(self, start: Committed) -> Partition | None:
        """Return a partition that has a committed record from `start` on, None if there are only control records."""
        return next((place[:2] for place, _ in self._scan(start, "read_committed")), None)

    def _partitions(self) -> list[TopicPartition]:
        known = self._admin.list_topics(timeout=ANSWER_S).topics
        partitions = [
            TopicPartition(self._names.topic(topic.name), number)
            for topic in TOPICS
            if self._names.topic(topic.name) in known
            for number in known[self._names.topic(topic.name)].partitions
        ]
        if not partitions:
            raise UsageError("Kafka has none of the shop's topics: was this namespace provisioned?")
        return partitions

    def _offsets(
        self, partitions: Iterable[TopicPartition], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[Partition, int]:
        asked = dict.fromkeys(partitions, spec)
        answers = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=ANSWER_S)
        return {self._partition(partition): future.result().offset for partition, future in answers.items()}

    def _partition(self, partition: TopicPartition) -> Partition:
        return self._names.logical(partition.topic), partition.partition

    def _scan(self, start: Committed, isolation: str) -> Iterator[tuple[Place, Message]]:
        """Yield the records of the given partitions, each from its offset to its end."""
        settings = {
            "group.id": self._names.group(AUDITOR),  # asked for by the client, never joined
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 1_000_000,
        }
        consumer = Consumer(self._client | settings)
        try:
            consumer.assign([TopicPartition(self._names.topic(topic), n, at) for (topic, n), at in start.items()])
            yield from self._until_ends(consumer, set(start))
        finally:
            consumer.close()

    def _until_ends(self, consumer: Consumer, left: set[Partition]) -> Iterator[tuple[Place, Message]]:
        silent_since = time.monotonic()
        while left:
            messages = consumer.consume(num_messages=BATCH, timeout=0.05)
            if messages:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > SILENCE_S:
                raise UsageError(f"Kafka did not answer for {SILENCE_S:.0f} s while its topics were read")
            for message in messages:
                place = self._place(message)
                if (error := message.error()) is None:
                    yield place, message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client has no public name for it
                    left.discard(place[:2])
                else:
                    raise UsageError(f"Kafka refused to be read: {error.str()}")

    def _place(self, message: Message) -> Place:
        topic = self._names.logical(message.topic() or "")
        return Place(topic, message.partition() or 0, message.offset() or 0)


def _age_s(message: Message) -> float:
    _, written_ms = message.timestamp()
    return time.time() - written_ms / 1000


def _headers(message: Message) -> dict[str, bytes]:
    """Return the first header of each name, in their order."""
    headers: dict[str, bytes] = {}
    for name, value in list(message.headers() or ()):
        if isinstance(value, bytes):
            headers.setdefault(str(name), value)
    return headers
