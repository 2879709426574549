"""A transaction in which anything failed never ends in a commit, and never ends its caller in silence."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from shared.exactly_once.tests.faults.scenes import TOPICS, Scene
from shared.exactly_once.tests.faults.tally import NAME

from exactly_once import KafkaSettings
from exactly_once.batch import Output, Partition
from exactly_once.errors import PublishFailed
from exactly_once.kafka import producer as producer_module
from exactly_once.kafka.partitioning import partition_of
from exactly_once.kafka.producer import TransactionalProducer

pytestmark = pytest.mark.integration

TOO_LARGE_BYTES = 1_500_000  # the broker takes a little more than a million
OF_A_BATCH_BYTES = 512 * 1024
SOURCE = Partition("added", 0)


@pytest.fixture
async def producer(settings: KafkaSettings) -> AsyncIterator[TransactionalProducer]:
    made = TransactionalProducer(settings, "tally", "1")
    await made.replace()
    yield made
    await made.stop()


def output(key: bytes, value: bytes = b"value") -> Output:
    return Output(SOURCE, 0, f"{NAME}.relay", key, value, ())  # one partition: what is read is in order


async def test_after_a_send_that_is_too_large_nothing_is_visible_and_the_next_transaction_is_whole(
    scene: Scene, producer: TransactionalProducer
) -> None:
    big = os.urandom(TOO_LARGE_BYTES)  # it must not compress
    with pytest.raises(PublishFailed, match="MessageSizeTooLarge"):
        await producer.publish([output(b"before"), output(b"large", big), output(b"behind")])
    with pytest.raises(PublishFailed, match="an earlier transaction failed"):
        await producer.publish([output(b"early")])
    await producer.replace()
    await producer.publish([output(b"after")])
    assert await asyncio.to_thread(scene.keys, f"{NAME}.relay") == [b"after"]


async def test_a_transaction_that_fills_many_batches_is_whole_and_in_order(
    scene: Scene, producer: TransactionalProducer
) -> None:
    keys = [b"%d" % number for number in range(200)]
    outputs = [output(key, os.urandom(OF_A_BATCH_BYTES // 20))._replace(out_topic="totalled") for key in keys]
    await producer.publish(outputs)
    read = [(message.partition(), message.key()) for message in await asyncio.to_thread(scene.messages, "totalled")]
    for number in range(TOPICS["totalled"]):
        wanted = [key for key in keys if partition_of(key, TOPICS["totalled"]) == number]
        assert [key for partition, key in read if partition == number] == wanted


async def test_a_publish_whose_sender_dies_fails_and_does_not_cancel_its_caller(
    scene: Scene, producer: TransactionalProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender is cancelled while it waits for the end of a transaction: closing it then raises CancelledError."""
    monkeypatch.setattr(producer_module, "PUBLISH_DEADLINE_S", 2.0)
    await producer.publish([output(b"before")])
    assert producer._producer is not None
    sender, asked = producer._producer._sender, asyncio.Event()

    async def unanswered(_: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(sender, "_do_txn_commit", unanswered)
    publishing = asyncio.create_task(producer.publish([output(b"lost")]))
    await asked.wait()
    sender.sender_task.cancel()
    await asyncio.wait({publishing})
    assert not publishing.cancelled()
    assert isinstance(publishing.exception(), PublishFailed)
    await producer.replace()
    await producer.publish([output(b"after")])
    assert await asyncio.to_thread(scene.keys, f"{NAME}.relay") == [b"before", b"after"]
