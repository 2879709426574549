"""What a consumer says when its Kafka client can't read a record."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from exactly_once.batch import Partition
from exactly_once.errors import Halted
from exactly_once.kafka.consumer import GroupConsumer
from exactly_once.kafka.membership import Membership
from exactly_once.kafka.settings import KafkaSettings

NAME = b"odd-name"


def batch_with_a_header_that_has_no_name() -> bytes:
    """Return a batch as Kafka takes it of anybody, and as librdkafka and Java's client write it when they are told."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000)
    builder.append(0, 0, b"key", b"value", [(NAME.decode(), b"")])
    return bytes(builder.build()).replace(NAME, b"\xff" * len(NAME))


async def test_a_header_whose_name_is_no_utf_8_halts_with_a_sentence() -> None:
    async def getmany(**_: Any) -> Any:
        return list(DefaultRecordBatch(batch_with_a_header_that_has_no_name()))

    nowhere = KafkaSettings("127.0.0.1:1", "inventory", Path("no-password"), Path("no-ca"))
    consumer = GroupConsumer(nowhere, "inventory", ["orders"])
    consumer._consumer = SimpleNamespace(getmany=getmany)  # noqa: SLF001  # what stands for aiokafka
    membership = Membership(1, "member", frozenset({Partition("orders", 1), Partition("orders", 0)}), None)
    with pytest.raises(Halted, match="inventory: a header's name is no UTF-8 in a record of one of orders/0, orders/1"):
        await consumer.poll(membership, 0.0, 1)
