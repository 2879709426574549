"""What the producer changes in aiokafka, and where it puts what."""

import asyncio
from typing import Any

from aiokafka.codec import lz4_encode
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from exactly_once.batch import Output, Partition
from exactly_once.kafka.partitioning import partition_of, placed
from exactly_once.kafka.producer import LZ4_LEVEL, _Producer

LZ4 = 3
HEADER_BYTES = 61  # of a batch, before its records


def batch(compression: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        2, compression, is_transactional=1, producer_id=1, producer_epoch=0, base_sequence=0, batch_size=1_000_000
    )
    for number in range(500):
        builder.append(number, 0, key=b"%d" % number, value=b"%d " % (number * 7919) * 10, headers=[])
    return bytes(builder.build())


def test_batches_are_compressed_at_the_fast_level() -> None:
    records = batch(compression=0)[HEADER_BYTES:]
    assert len(lz4_encode(records, LZ4_LEVEL)) != len(lz4_encode(records))
    assert batch(LZ4)[HEADER_BYTES:] == lz4_encode(records, LZ4_LEVEL)


def test_a_key_belongs_to_the_partition_that_every_producer_gives_it() -> None:
    keys = [b"", b"a", b"anna", b"long" * 1_000, *(b"customer-%d" % number for number in range(100))]
    for partitions in (7, 5, 7):
        theirs = [DefaultPartitioner()(key, list(range(partitions)), []) for key in keys]
        assert [partition_of(key, partitions) for key in keys] == theirs


def test_outputs_are_in_order_in_their_keys_partitions_and_without_a_key_in_any() -> None:
    keys = [None, b"anna", b"bert", b"anna", None, b"anna"]
    outputs = [Output(Partition("in", 0), offset, "out", key, b"value", ()) for offset, key in enumerate(keys)]
    places = placed([*outputs, outputs[1]._replace(out_topic="lone")], {"out": 3, "lone": 1})
    assert [each.offset for each in places[Partition("lone", 0)]] == [1]
    annas = places[Partition("out", partition_of(b"anna", 3))]
    assert [each.offset for each in annas if each.key == b"anna"] == [1, 3, 5]
    assert outputs[2] in places[Partition("out", partition_of(b"bert", 3))]
    assert sorted(each.offset for place, found in places.items() if place.topic == "out" for each in found) == [
        *range(6)
    ]


class Unsent(_Producer):
    """Has a topic of two partitions, and notes the partition and the records of each batch that it is to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1_000, 0, is_transactional=1)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        self.sent.append((partition, batch.record_count()))
        return asyncio.get_running_loop().create_future()


async def test_no_partition_waits_for_the_second_batch_of_another() -> None:
    keys = {partition_of(key, 2): key for key in (b"anna", b"bert", b"cleo", b"dora")}
    large = [Output(Partition("in", 0), 0, "out", key, b"v" * 700, ()) for key in (keys[0], keys[1]) * 3]
    producer = Unsent()
    assert len(await producer.send_all(large, "")) == 6
    assert sorted(producer.sent[:2]) == sorted(producer.sent[2:4]) == sorted(producer.sent[4:]) == [(0, 1), (1, 1)]
