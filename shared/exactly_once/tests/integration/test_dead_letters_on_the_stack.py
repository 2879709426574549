"""Dead letters and bounded tables on real Kafka and PostgreSQL: one service, deployed badly and then mended."""

import asyncio
import datetime as dt
import secrets
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import confluent_kafka
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts import OrderPlaced, StockRejected
from exactly_once import Codec, Event, KafkaSettings, Loop, Processor, Registry, RejectRecord
from exactly_once.batch import Record
from exactly_once.dead_letters import MOST_IN_A_ROW, MOST_IN_WINDOW
from exactly_once.envelope import CAUSATION_ID, DLQ_HEADERS, ID, Headers, Provenance, text_header
from exactly_once.redrive import redriven
from exactly_once.transactions import transaction
from waybill.stack import Stack

pytestmark = pytest.mark.integration

Eventually = Callable[..., Awaitable[None]]


class Nothing:
    """A working set that needs nothing."""

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        return cls()

    async def save(self, connection: AsyncConnection) -> None:
        return


def answering(refused: Sequence[str] = (), buggy: Sequence[str] = (), tried: list[str] | None = None) -> Processor:
    """Answer every order, but for the tokens that this version refuses, or breaks at; `tried` keeps what came."""
    processor = Processor("inventory")

    @processor.handles(OrderPlaced)
    def answer(order: OrderPlaced, nothing: Nothing) -> StockRejected:
        if tried is not None:
            tried.append(order.payment_token)
        if order.payment_token in refused:
            raise RejectRecord("nobody wants this order")
        if order.payment_token in buggy:
            raise ZeroDivisionError("a bug")
        return StockRejected(order_id=order.order_id, customer_id=order.customer_id, short_skus=["cd"])

    return processor


@dataclass
class Inventory:
    """A service in a namespace of its own, and what its neighbours see."""

    engine: AsyncEngine
    kafka: KafkaSettings
    codec: Codec
    order: Callable[..., OrderPlaced]
    send: Callable[..., None]
    visible: Callable[[str], list[Record]]
    before: list[str] = field(default_factory=list)

    def place(self, *tokens: str, customer: str = "anna") -> list[str]:
        """Send an order for each token; return their event ids."""
        ids = [str(uuid4()) for _ in tokens]
        for event_id, token in zip(ids, tokens, strict=True):
            encoded = self.codec.encode(self.order(customer, token), Provenance(event_id, event_id, event_id))
            self.send("orders", encoded.key, encoded.value, encoded.headers, wait=event_id == ids[-1])
        return ids

    def answered(self) -> list[str]:
        """Return the ids that were answered, in order, each as often as it was."""
        return [text_header(record.headers, CAUSATION_ID) for record in self.visible("orders.stock")]

    def letters(self, event_id: str = "") -> list[Record]:
        """Return the dead letters, of one event id or all of this test."""
        found = self.visible("inventory.dead-letters")
        return [
            each
            for each in found
            if text_header(each.headers, "dlq_event_id") not in self.before
            and (not event_id or text_header(each.headers, "dlq_event_id") == event_id)
        ]

    def redrive(self, found: Record) -> None:
        again = redriven(found.key, found.value, found.headers)
        self.send(again.topic, again.key, again.value, again.headers, partition=again.partition)

    async def count(self, table: str) -> int:
        async with transaction(self.engine) as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())  # noqa: S608

    @asynccontextmanager
    async def running(self, processor: Processor, **options: Any) -> AsyncIterator[Loop]:
        loop = Loop(processor, engine=self.engine, kafka=self.kafka, codec=self.codec, **options)
        task = asyncio.create_task(loop.run())
        try:
            yield loop
        finally:
            await loop.stop()
            await asyncio.wait({task})  # on a busy machine a stop may have to cut it off
            assert task.cancelled() or task.exception() is None


@pytest.fixture
async def inventory(
    namespaced_stack: Stack,
    service: tuple[AsyncEngine, KafkaSettings],
    an_order: Callable[..., OrderPlaced],
    send: Callable[..., None],
    visible: Callable[[str], list[Record]],
) -> AsyncIterator[Inventory]:
    engine, kafka = service
    async with Registry(namespaced_stack.registry_url) as registry:
        emits: list[type[Event]] = [OrderPlaced, StockRejected]
        codec = await Codec.open(registry, "/test", emits=emits, handles=[OrderPlaced], prefix=kafka.prefix)
        parts = Inventory(engine, kafka, codec, an_order, send, visible)
        parts.before = [text_header(each.headers, "dlq_event_id") for each in parts.letters()]
        yield parts


@pytest.fixture
def service(
    engine_of: Callable[[str], AsyncEngine], kafka_of: Callable[[str], KafkaSettings]
) -> tuple[AsyncEngine, KafkaSettings]:
    return engine_of("inventory"), kafka_of("inventory")


async def test_each_kind_of_poison_becomes_a_letter_with_the_raw_record_and_its_neighbours_pass_in_order(
    inventory: Inventory, eventually: Eventually
) -> None:
    tried: list[str] = []
    good = inventory.place("one")
    odd: Headers = ((ID, b"e-odd"), ("raw", b"\xff\x00"), ("none", None))
    inventory.send("orders", b"anna", b"\x01garbage", odd)
    good += inventory.place("two")
    inventory.send("orders", b"anna", struct.pack(">bI", 0, 2_000_000_000), odd)
    unwanted, three, broken, four = inventory.place("unwanted", "three", "broken", "four")
    inventory.send("orders", b"anna", b"other bytes", ((ID, good[0].encode()),))
    abuse = inventory.codec.encode(inventory.order("anna", "abuse"), Provenance(good[0], "j", "j"))
    inventory.send("orders", abuse.key, abuse.value, abuse.headers)
    good += [three, four, *inventory.place("five")]
    async with inventory.running(answering(["unwanted"], ["broken"], tried)):
        await eventually(lambda: inventory.answered()[-1:] == good[-1:])
        await eventually(lambda: len(inventory.letters()) == 6)
    assert [each for each in inventory.answered() if each in {*good, unwanted, broken}] == good
    kinds = ["undecodable", "undecodable", "rejected", "bug", "undecodable", "conflict"]
    assert [text_header(each.headers, "dlq_kind") for each in inventory.letters()] == kinds
    assert tried.count("broken") >= 3, "three attempts of its own"
    raw, schemaless, *_, conflict = inventory.letters()
    assert (raw.key, raw.value, raw.headers[:3]) == (b"anna", b"\x01garbage", odd)
    assert (conflict.key, conflict.value) == (abuse.key, abuse.value)
    told = dict(raw.headers)
    assert tuple(name for name, _ in raw.headers[3:]) == DLQ_HEADERS
    assert (told["dlq_topic"], told["dlq_group"], told["dlq_attempt"]) == (b"orders", b"inventory", b"0")
    place = b"orders/%b/%b" % (told["dlq_partition"] or b"", told["dlq_offset"] or b"")
    assert told["dlq_event_id"] == place, "what can't be decoded goes by its coordinate"
    assert b"wire format" in (told["dlq_why"] or b"")
    assert b"the registry knows no schema" in (dict(schemaless.headers)["dlq_why"] or b"")
    assert dt.datetime.fromisoformat(text_header(raw.headers, "dlq_at")).tzinfo is not None
    assert abs(int(text_header(raw.headers, "dlq_timestamp_ms")) / 1000 - dt.datetime.now(dt.UTC).timestamp()) < 120


async def test_what_another_producer_packed_better_than_we_do_fits_into_a_letter(
    namespaced_stack: Stack, inventory: Inventory, eventually: Eventually
) -> None:
    """Eight MiB that repeat too far apart for lz4, of which zstd makes less than a tenth."""
    packing = namespaced_stack.kafka_client("operator") | {"compression.type": "zstd", "message.max.bytes": 20_000_000}
    producer = confluent_kafka.Producer(packing)
    garbage = secrets.token_bytes(256 * 1024) * 32
    refused = list[object]()
    topic = namespaced_stack.names.topic("orders")
    producer.produce(topic, garbage, b"anna", on_delivery=lambda error, _: refused.append(error))
    assert (producer.flush(60), refused) == (0, [None])
    (good,) = inventory.place("behind")
    async with inventory.running(answering()):
        await eventually(lambda: inventory.answered()[-1:] == [good])
        await eventually(inventory.letters)
    (letter,) = inventory.letters()
    assert letter.value == garbage


async def test_a_letter_redriven_after_mending_is_processed_once_however_often_it_is_redriven(
    inventory: Inventory, eventually: Eventually
) -> None:
    first, unwanted, last = inventory.place("one", "unwanted", "two")
    async with inventory.running(answering(["unwanted"])):
        await eventually(lambda: inventory.letters(unwanted))
        inventory.redrive(inventory.letters(unwanted)[0])  # nothing was mended: a letter of the next attempt
        await eventually(lambda: len(inventory.letters(unwanted)) == 2)
    stale, letter = inventory.letters(unwanted)
    assert text_header(letter.headers, "dlq_attempt") == "1"
    for each in (stale, letter, letter):  # one batch: the stale one and one of the two others do nothing
        inventory.redrive(each)
    async with inventory.running(answering()):
        await eventually(lambda: unwanted in inventory.answered())
        inventory.redrive(letter)  # it was processed all right
        (end,) = inventory.place("end")
        await eventually(lambda: end in inventory.answered())
    assert [each for each in inventory.answered() if each in {first, unwanted, last, end}] == [
        first,
        last,
        unwanted,
        end,
    ]
    assert len(inventory.letters(unwanted)) == 2


async def test_a_bad_deploy_stops_above_the_limit_and_after_mending_every_order_is_answered_or_a_letter_once(
    inventory: Inventory, eventually: Eventually
) -> None:
    ids = inventory.place(*["unwanted"] * (MOST_IN_A_ROW + 20))
    async with inventory.running(answering(["unwanted"])) as bad:
        await eventually(lambda: "in a row" in (bad.health() or ""))
    sentence = bad.health() or ""
    assert f"{MOST_IN_A_ROW + 1} of the last" in sentence
    assert "mend the cause, and start this service again" in sentence
    async with inventory.running(answering()) as mended:
        await eventually(lambda: ids[-1] in inventory.answered())
        assert mended.health() is None
    buried = [text_header(each.headers, "dlq_event_id") for each in inventory.letters()]
    assert len(buried) <= MOST_IN_A_ROW
    assert sorted(buried + [each for each in inventory.answered() if each in ids]) == sorted(ids)


async def test_tables_level_off_when_time_passes_their_retention(inventory: Inventory, eventually: Eventually) -> None:
    async with transaction(inventory.engine) as connection:
        await connection.execute(text("UPDATE claims SET claimed_at = now()"))
    soon = {"claims_kept": dt.timedelta(milliseconds=300), "prune_every_s": 0.1}  # less than two waves take
    waves, wave = 5, 600
    most = {"claims": 0, "outputs": 0}
    async with inventory.running(answering(), **soon) as loop:
        for _ in range(waves):
            ids = inventory.place(*["fine"] * wave)
            await eventually(lambda last=ids[-1]: last in inventory.answered())
            most = {table: max(seen, await inventory.count(table)) for table, seen in most.items()}
        await eventually(lambda: loop.health() is None)
        async with asyncio.timeout(20):
            while await inventory.count("claims") or await inventory.count("outputs"):  # noqa: ASYNC110  # tables set no event
                await asyncio.sleep(0.05)
    assert most["claims"] < waves * wave / 2, most
    assert most["outputs"] < waves * wave / 2, most


async def test_too_large_a_share_of_poison_stops_the_loop_and_a_restart_without_a_remedy_stops_again(
    inventory: Inventory, eventually: Eventually
) -> None:
    for _ in range(MOST_IN_WINDOW + 20):
        inventory.send("orders", b"anna", b"garbage")
        inventory.place("fine")
    for _ in range(2):
        async with inventory.running(answering()) as flooded:
            await eventually(lambda loop=flooded: "would be dead letters" in (loop.health() or ""))
    assert inventory.letters() == [], "the batch came as one, and nothing of it was buried"
