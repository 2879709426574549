"""Watches the shop's topics as a read_committed reader: what became of each order, and when that was visible."""

import io
import json
import struct
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import confluent_kafka
import fastavro
import requests

from waybill.errors import UsageError
from waybill.patience import answered, patiently
from waybill.stack import Stack

TERMINAL = frozenset({"shipped", "rejected", "declined", "expired", "cancelled"})
WIRE_HEADER = struct.Struct(">bI")
BATCH = 500
TOLD = ("orders.status", "orders.shipping")


@dataclass
class Watcher:
    """Follows `orders.status` and `orders.shipping` from where they end now. Use it as a context manager."""

    stack: Stack
    statuses: dict[str, str] = field(default_factory=dict)
    settled_at: dict[str, float] = field(default_factory=dict)
    shipped_at: dict[str, float] = field(default_factory=dict)
    shipped_order: dict[str, list[str]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._schemas: dict[int, Any] = {}
        self._failure: Exception | None = None
        self._stopping = threading.Event()
        self._consumer = confluent_kafka.Consumer(
            self.stack.kafka_client("auditor")
            | {
                "group.id": self.stack.names.group("auditor"),  # never joined; librdkafka asks for it all the same
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 50,
            }
        )
        self._consumer.assign([place for topic in TOLD for place in answered(partial(self._ends, topic))])
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def settled(self, order_ids: set[str]) -> int:
        """Return how many of these orders have ended. UsageError: they are followed no more."""
        if (why := self._failure) is not None:
            said = why if isinstance(why, UsageError) else repr(why)
            raise UsageError(f"the orders can't be followed: {said}") from why
        return len(self.settled_at.keys() & order_ids)

    def _ends(self, topic: str) -> list[confluent_kafka.TopicPartition]:
        name = self.stack.names.topic(topic)
        partitions = self._consumer.list_topics(name, timeout=10).topics[name].partitions
        places = [confluent_kafka.TopicPartition(name, number) for number in partitions]
        for place in places:
            place.offset = self._consumer.get_watermark_offsets(place, timeout=10)[1]
        return places

    def _follow(self) -> None:
        try:
            while not self._stopping.is_set():
                for message in self._consumer.consume(BATCH, timeout=0.1):
                    value = message.value()
                    if message.error() is None and value:
                        self._take(self._decode(value))
        except Exception as error:  # noqa: BLE001  # nobody hears a thread: whoever asks what has settled is told
            self._failure = error

    def _take(self, event: dict[str, Any]) -> None:
        order_id, now = str(event["order_id"]), time.monotonic()
        if "shipment_id" in event:
            self.shipped_at.setdefault(order_id, now)
            self.shipped_order.setdefault(event["customer_id"], []).append(order_id)
            return
        if "status" not in event:  # fulfillment's answer to a cancellation
            return
        self.statuses[order_id] = event["status"]
        if event["status"] in TERMINAL:
            self.settled_at.setdefault(order_id, now)

    def _decode(self, value: bytes) -> dict[str, Any]:
        _, schema_id = WIRE_HEADER.unpack_from(value)
        if schema_id not in self._schemas:
            try:
                self._schemas[schema_id] = patiently(partial(self._schema, schema_id), requests.RequestException)
            except requests.RequestException as error:
                why = f"the schema registry can't be read: {type(error).__name__}; see `waybill status`"
                raise UsageError(why) from error
        event: Any = fastavro.schemaless_reader(io.BytesIO(value[WIRE_HEADER.size :]), self._schemas[schema_id])
        return dict(event)

    def _schema(self, schema_id: int) -> Any:
        if self._stopping.is_set():
            raise UsageError("nobody waits for the registry any more")
        answer = requests.get(f"{self.stack.registry_url}/schemas/ids/{schema_id}", timeout=10)
        answer.raise_for_status()
        return fastavro.parse_schema(json.loads(answer.json()["schema"]))
