"""Faults are planted by operator's rights into a real shop that has done its work; the audit names each."""

import asyncio
import io
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import fastavro
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition  # noqa: TID251  # it alters
from confluent_kafka.admin import AdminClient

from waybill.audit import Report, Watch, audit
from waybill.audit.decoding import Schemas, decode, fetch_schemas, schema_id_of
from waybill.audit.evidence import Record
from waybill.audit.kafka import Raw, Topics
from waybill.customers import Shop
from waybill.local.launch import services
from waybill.stack import Stack

pytestmark = pytest.mark.e2e

WAIT_S = 60
PRODUCTS = {"cd": (1250, 1_000), "rare": (99, 1), "gift": (0, 10)}


class Planted(NamedTuple):
    """A fault that one statement plants into a service's database, about an order ($1)."""

    invariant: str
    told: str
    service: str
    statement: str


PAID_IN = "INSERT INTO ledger (charge_id, idempotency_key, reference, kind, amount_minor, currency, refund_id)"
STATEMENTS = {
    "charge without order": Planted(
        "6", "the gateway's ledger has [('capture'", "payment_gateway",
        PAID_IN + " VALUES ('ch-' || $1, $1, $1, 'capture', 1, 'USD', NULL)",
    ),
    "charged twice": Planted(
        "6", "captured more than once", "payment_gateway",
        PAID_IN + " VALUES ('ch-' || $1, $1, $1, 'capture', 1250, 'USD', NULL)",
    ),
    "refund without reason": Planted(
        "6", "the gateway's ledger kept 0", "payment_gateway",
        PAID_IN + " VALUES ('ch-' || $1, $1 || ':refund', $1, 'refund', 1250, 'USD', 're-' || $1)",
    ),
    "refund missing": Planted(
        "6", "accounting booked [('capture'", "accounting",
        "UPDATE payments SET (state, voided, refund_id) = ('refunded', true, 're') WHERE order_id = $1::text::uuid",
    ),
    "wrong amount": Planted(
        "6", "over 1250 minor units", "payment_gateway",
        "UPDATE ledger SET amount_minor = amount_minor + 1 WHERE reference = $1",
    ),
    "two invoices": Planted(
        "6", "PaymentCaptured says", "accounting",
        "UPDATE payments SET invoice_number = 'another' WHERE order_id = $1::text::uuid",
    ),
    "leaked reservation": Planted(
        "10", "it leaks", "inventory", "UPDATE reservations SET state = 'allocated' WHERE order_id = $1::text::uuid"
    ),
    "stale status": Planted(
        "13", "in PostgreSQL: paid", "checkout", "UPDATE orders SET status = 'paid' WHERE order_id = $1::text::uuid"
    ),
    "lost shipment": Planted(
        "12", "fulfillment has none", "fulfillment", "DELETE FROM shipments WHERE order_id = $1::text::uuid"
    ),
    "two keys": Planted(
        "9", "two idempotency keys", "checkout",
        "INSERT INTO idempotency_keys SELECT customer_id, key || '-again', body_digest, order_id"
        " FROM idempotency_keys WHERE order_id = $1::text::uuid",
    ),
}  # fmt: skip
ORDERS = {  # each fault has an order of its own
    **dict.fromkeys(STATEMENTS, ("emil", "cd", "tok_ok")),
    "charge without order": ("emil", "cd", "tok_declined"),
    "stale status forged": ("fay", "cd", "tok_ok"),
    "out of nowhere": ("fay", "cd", "tok_ok"),
    "altered": ("fay", "cd", "tok_ok"),
    "altered output": ("fay", "cd", "tok_ok"),
    "told twice": ("fay", "cd", "tok_ok"),
    "lost": ("anna", "cd", "tok_ok"),
    "two shipments": ("bert", "cd", "tok_ok"),
    "a cent off": ("cleo", "cd", "tok_ok"),
    "a template": ("dora", "cd", "tok_ok"),
    "declined": ("anna", "cd", "tok_declined"),
    "the last one": ("bert", "rare", "tok_ok"),
    "out of stock": ("cleo", "rare", "tok_ok"),
    "for nothing": ("dora", "gift", "tok_ok"),
}


@dataclass
class Settled:
    """A shop at rest, and its orders by the part that they play."""

    stack: Stack
    running: AsyncExitStack
    orders: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)  # event ids and places of what was planted

    async def rest(self) -> None:
        """End every service but the gateway, so that nobody reacts to what is planted and no group has a member."""
        await self.running.aclose()
        self.stack = await self.running.enter_async_context(services(self.stack, ("the gateway",)))

    async def violations(self, invariant: str, *, wait_s: float = WAIT_S) -> dict[str, str]:
        """Audit the shop, and return what is wrong by whom, for one invariant."""
        return violations(await audit(self.stack, wait_s=wait_s), invariant)

    async def execute(self, service: str, *statements: tuple[Any, ...]) -> None:
        """Change a service's database as the operator, by statements with their arguments, in one transaction."""
        connection = await asyncpg.connect(self.stack.postgres_dsn(service, "operator"), ssl=False)
        try:
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(*statement)
        finally:
            await connection.close()

    async def event(self, event_type: str, order_id: str) -> tuple[Raw, Record, Schemas]:
        """Return an order's event as it stands in Kafka."""
        topics = Topics(self.stack)
        raw = await asyncio.to_thread(lambda: topics.committed_records(topics.bounds()))
        schemas = await fetch_schemas(self.stack.registry_url, raw)
        records = ((each, decode(each, schemas)) for each in raw)
        found = [pair for pair in records if (pair[1].event_type, pair[1].order_id) == (event_type, order_id)][-1]
        return *found, schemas

    async def forge(
        self, event_type: str, order_id: str, *changed: dict[str, Any], cause: str = "", elsewhere: int = 0
    ) -> str:
        """Produce an order's event again for each of `changed`, under a new event id each; return the last one.

        It says another `cause` if one is given, and goes so many partitions further.
        """
        raw, record, schemas = await self.event(event_type, order_id)
        place = record.place._replace(partition=(record.place.partition + elsewhere) % 3)
        schema_id = schema_id_of(raw.value) or 0
        schema = schemas[schema_id]
        assert schema is not None
        for changes in changed:
            body = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
            body.seek(0, io.SEEK_END)
            fastavro.schemaless_writer(body, schema.parsed, {**record.fields, **changes})
            event_id = str(uuid.uuid4())
            headers = {**raw.headers, "ce_id": event_id.encode()}
            headers |= {"ce_causationid": cause.encode()} if cause else {}
            self.produce(Raw(place, raw.key, body.getvalue(), headers))
        return event_id

    def produce(self, raw: Raw) -> None:
        """Produce a record, as the operator, where it says that it stands."""
        producer = Producer({**self.stack.kafka_client("operator"), "enable.idempotence": True})
        headers: list[tuple[str, str | bytes | None]] = [*raw.headers.items()]
        producer.produce(
            self.stack.names.topic(raw.place.topic), raw.value, raw.key, raw.place.partition, headers=headers
        )
        assert producer.flush(30) == 0


def violations(report: Report, invariant: str) -> dict[str, str]:
    """Return what is wrong by whom, all sentences about one in one."""
    (line,) = [line for line in report.invariants if line.id == invariant]
    found: dict[str, str] = {}
    for offence in line.violations:
        found[offence.id] = "; ".join(filter(None, [found.get(offence.id), offence.what]))
    return found


@pytest.fixture(scope="module")
async def settled(namespaced_stack: Stack) -> AsyncIterator[Settled]:
    """A shop with its real services, in which every order has come to its end."""
    async with AsyncExitStack() as running:
        stack = await running.enter_async_context(services(namespaced_stack))
        shop = Settled(stack, running)
        async with Shop(stack) as door:
            await door.stock(PRODUCTS)
            for part, (customer, sku, token) in ORDERS.items():
                answer = await door.order(customer, [(sku, 1)], token, f"key-{part}")
                assert answer.order_id is not None
                shop.orders[part] = answer.order_id
        report = await audit(stack, wait_s=WAIT_S)
        assert report.failed == [], report
        assert report.settled
        yield shop


async def start_audit(stack: Stack, home: Path, *options: str) -> asyncio.subprocess.Process:
    """Start the command on a stack that is seen through a namespace."""
    (home / "stack.json").write_text(stack.model_dump_json())
    for folder in ("secrets", "tls"):
        if not (home / folder).exists():
            (home / folder).symlink_to(stack.home / folder)
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("waybill")), "audit", "--wait", str(WAIT_S), *options,
        env=os.environ | {"WAYBILL_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def waybill_audit(stack: Stack, home: Path) -> tuple[int, dict[str, Any]]:
    """Run the command to its end."""
    process = await start_audit(stack, home, "--json")
    said, _ = await process.communicate()
    return process.returncode or 0, json.loads(said)


@dataclass
class Watching:
    """The command while it watches, and what it has told on standard error."""

    process: asyncio.subprocess.Process
    told: str = ""

    @classmethod
    async def start(cls, stack: Stack, home: Path, *options: str) -> "Watching":
        """Start it, and return when it looks."""
        watching = cls(await start_audit(stack, home, "--watch", *options))
        await watching.tells("watching: ")
        return watching

    async def tells(self, what: str) -> None:
        """Wait until it tells so."""
        assert self.process.stderr is not None
        async with asyncio.timeout(WAIT_S):
            while what not in self.told:
                line = await self.process.stderr.readline()
                assert line, f"it ended and did not tell {what}: {self.told}"
                self.told += line.decode()

    async def end(self, number: signal.Signals) -> tuple[int | None, str]:
        """Send a signal, and return its exit code and the verdict that it printed."""
        self.process.send_signal(number)
        out, err = await self.process.communicate()
        self.told += err.decode()
        return self.process.returncode, out.decode()


async def test_the_command_passes_a_shop_at_rest(settled: Settled, tmp_path: Path) -> None:
    code, report = await waybill_audit(settled.stack, tmp_path)

    assert code == 0
    assert report["ok"] is True
    verdicts = {line["id"]: line["ok"] for line in report["invariants"]}
    assert {identity for identity, ok in verdicts.items() if ok is None} == {"5b", "11"}
    assert set(verdicts) == {*map(str, range(1, 14)), "5b"}


async def test_a_watch_that_is_told_to_end_prints_the_verdict(settled: Settled, tmp_path: Path) -> None:
    watching = await Watching.start(settled.stack, tmp_path)

    code, verdict = await watching.end(signal.SIGTERM)

    assert code == 0, verdict
    assert verdict.splitlines()[-1].startswith("every invariant that one reading can show holds; ")
    assert "Traceback" not in watching.told


async def test_a_watch_that_ctrl_c_ends_names_a_position_that_went_back_and_forth(
    settled: Settled, tmp_path: Path
) -> None:
    watching = await Watching.start(settled.stack, tmp_path, "--json")
    moved = "UPDATE owner SET next_offset = next_offset + $1 WHERE (topic, partition) = ('orders.stock', 0)"
    await settled.execute("fulfillment", (moved, -1))
    await watching.tells("watch: fulfillment:orders.stock/0: PostgreSQL's position went back from ")
    await settled.execute("fulfillment", (moved, 1))

    code, verdict = await watching.end(signal.SIGINT)

    report = Report.model_validate_json(verdict)
    assert (code, report.failed) == (1, ["5", "5b"]), watching.told
    assert violations(report, "5b").keys() == violations(report, "5").keys() == {"fulfillment:orders.stock/0"}
    assert "Traceback" not in watching.told


async def test_a_lost_event_is_named_by_its_missing_claim(settled: Settled, tmp_path: Path) -> None:
    order_id = settled.orders["lost"]
    _, placed, _ = await settled.event("OrderPlaced", order_id)
    await settled.execute(
        "inventory",
        ("DELETE FROM claims WHERE event_id = $1", placed.event_id),
        ("DELETE FROM reservation_lines WHERE order_id = $1", order_id),
        ("DELETE FROM reservations WHERE order_id = $1", order_id),
    )

    code, report = await waybill_audit(settled.stack, tmp_path)

    assert code == 1
    lost = violations(Report.model_validate(report), "1")
    assert "never claimed" in lost[placed.event_id]
    assert order_id in lost[placed.event_id]


async def test_a_record_that_stands_twice_in_its_topic_is_named(settled: Settled) -> None:
    raw, captured, _ = await settled.event("PaymentCaptured", settled.orders["told twice"])
    settled.produce(raw)

    assert (await settled.violations("1"))[captured.event_id].startswith("this PaymentCaptured is visible at ")


async def test_a_second_shipment_is_named_as_a_decision_taken_twice(settled: Settled) -> None:
    order_id = settled.orders["two shipments"]
    await settled.forge("ShipmentDispatched", order_id, {"shipment_id": str(uuid.uuid4())})

    assert "fulfillment decided 2 times" in (await settled.violations("3"))[order_id]


async def test_a_cent_off_is_named_by_the_balance(settled: Settled) -> None:
    order_id = settled.orders["a cent off"]
    raised = ("UPDATE payments SET amount_minor = amount_minor + 1 WHERE order_id = $1", order_id)
    await settled.execute("accounting", raised)

    assert order_id in await settled.violations("6")


async def test_a_swapped_pair_is_named_by_the_customers_order(settled: Settled) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    template = settled.orders["a template"]
    for order_id, later_s in ((first, 0), (second, 60)):
        await accept(settled, template, order_id, later_s=later_s)
    _, placed, _ = await settled.event("OrderPlaced", template)
    at = placed.fields["placed_at"]

    swapped = ({"order_id": second, "placed_at": at + 60_000_000}, {"order_id": first, "placed_at": at})
    await settled.forge("OrderPlaced", template, *swapped)

    assert f"had it accepted before {second}" in (await settled.violations("4"))[first]


async def test_a_stuck_order_is_named_and_told_from_one_that_came_to_its_end(settled: Settled) -> None:
    order_id = str(uuid.uuid4())
    await accept(settled, settled.orders["a template"], order_id, later_s=120)

    stuck = await settled.violations("10", wait_s=3)

    assert "is stuck: its status is placed" in stuck[order_id]
    assert not stuck.keys() & set(settled.orders.values())


@pytest.fixture(scope="module")
async def tampered(settled: Settled) -> dict[str, dict[str, str]]:
    """What the audit says, by invariant, about a shop at rest into which many faults were planted, an order each."""
    await settled.rest()
    for part, planted in STATEMENTS.items():
        await settled.execute(planted.service, (planted.statement, settled.orders[part]))
    await settled.execute("inventory", *NEGATIVE_STOCK)
    await tamper_with_records(settled, settled.orders, settled.subjects)
    report = await audit(settled.stack, wait_s=0)
    return {line.id: violations(report, line.id) for line in report.invariants}


async def tamper_with_records(settled: Settled, orders: dict[str, str], subjects: dict[str, str]) -> None:
    """Plant what is told of by event id or place, and note these."""
    _, reserved, _ = await settled.event("StockReserved", orders["altered"])
    altered = ("UPDATE claims SET digest = 'other bytes' WHERE event_id = $1", reserved.event_id)
    torn = (TORN_OUTPUT, reserved.place.partition)
    await settled.execute("accounting", altered, ORPHAN_CLAIM, torn)
    await settled.execute("checkout", ANSWER_WITHOUT_ORDER)
    subjects["altered"] = str(reserved.place)

    _, output, _ = await settled.event("StockReserved", orders["altered output"])
    await settled.execute("inventory", (ALTERED_OUTPUT, output.event_id, output.cause))
    subjects["altered output"] = output.event_id

    await settled.forge("OrderStatusChanged", orders["stale status forged"], {"status": "reserved"})
    forged = await settled.forge(
        "OrderStatusChanged", orders["out of nowhere"], {}, cause="nobody's event", elsewhere=1
    )
    subjects["out of nowhere"] = forged


@pytest.mark.parametrize("part", STATEMENTS)
def test_a_tampered_table_is_named(tampered: dict[str, dict[str, str]], settled: Settled, part: str) -> None:
    planted = STATEMENTS[part]

    assert planted.told in tampered[planted.invariant][settled.orders[part]]


@pytest.mark.parametrize(
    ("invariant", "subject", "told"),
    [
        ("6", "gift", "negative number"),
        ("1", "orphan", "where no record can be read"),
        ("7", "torn", "can't be read"),
        ("7", "altered output", "stored other bytes"),
        ("3", "stale status forged", "from shipped to reserved"),
        ("2", "out of nowhere", "no service's database explains"),
        ("4", "out of nowhere", "is the wrong partition"),
        ("9", "key of no order", "which is not theirs"),
        ("8", "altered", "accounting claimed other bytes"),
    ],
    ids=[
        *("negative stock", "orphan claim", "torn", "altered output", "status back", "aborted but visible"),
        *("wrong customer's partition", "answer without order", "altered claim"),
    ],
)
def test_a_tampered_log_is_named(
    tampered: dict[str, dict[str, str]], settled: Settled, invariant: str, subject: str, told: str
) -> None:
    named = settled.subjects.get(subject) or settled.orders.get(subject) or subject

    assert told in tampered[invariant][named]


async def test_an_offset_that_went_back_and_forth_between_two_looks_is_seen_by_the_watcher(settled: Settled) -> None:
    await settled.rest()
    async with Watch(settled.stack, every_s=60) as watch:
        partition, offset = await set_offset_back(settled, by=1)
        await watch.look()
        await set_offset_back(settled, by=-1)

    report = await audit(settled.stack, wait_s=0, history=watch.history)

    subject = f"fulfillment:{partition[0]}/{partition[1]}"
    assert violations(report, "5b") == {subject: f"Kafka's offset went back from {offset} to {offset - 1}"}
    assert not watch.history.missed


async def test_an_offset_ahead_of_postgresql_is_named(settled: Settled) -> None:
    await settled.rest()
    (topic, partition), _ = await set_offset_back(settled, by=-1_000)

    ahead = await settled.violations("5", wait_s=0)
    await set_offset_back(settled, by=1_000)

    assert "is ahead of PostgreSQL" in ahead[f"fulfillment:{topic}/{partition}"]


async def test_a_hanging_transaction_is_named(settled: Settled) -> None:
    names = settled.stack.names
    identity = {"transactional.id": f"{names.prefix}hanging", "transaction.timeout.ms": 60_000}
    producer = Producer({**settled.stack.kafka_client("operator"), **identity})
    await asyncio.to_thread(producer.init_transactions, 30)
    producer.begin_transaction()
    producer.produce(names.topic("orders.status"), b"never", b"never", partition=0)
    await asyncio.to_thread(producer.flush, 30)

    hanging = await settled.violations("10", wait_s=0)
    await asyncio.to_thread(producer.abort_transaction, 30)

    assert "a transaction hangs" in hanging["orders.status/0"]


async def set_offset_back(settled: Settled, *, by: int) -> tuple[tuple[str, int], int]:
    """Set the offset of a group without members back, in a partition that has one; return which, and what it was."""
    admin = AdminClient(dict(settled.stack.kafka_client("operator")))
    topics, names = Topics(settled.stack), settled.stack.names
    (topic, number), offset = max(topics.committed("fulfillment").items(), key=lambda item: (item[0], item[1]))
    changed = [TopicPartition(names.topic(topic), number, offset - by)]
    asked = ConsumerGroupTopicPartitions(names.group("fulfillment"), changed)
    (done,) = admin.alter_consumer_group_offsets([asked]).values()
    await asyncio.to_thread(done.result, 30)
    return (topic, number), offset


NEGATIVE_STOCK = (
    ("ALTER TABLE stock DROP CONSTRAINT nothing_is_negative",),
    ("UPDATE stock SET (free, held) = (free - received - 1, held + received + 1) WHERE sku = 'gift'",),
)
ORPHAN_CLAIM = (
    """INSERT INTO claims ("group", event_id, topic, partition, "offset", digest, rejected)
    SELECT "group", 'orphan', topic, partition, min("offset") + 1, '', false FROM claims a
    WHERE topic = 'orders' AND NOT EXISTS (
        SELECT 1 FROM claims b WHERE (b.topic, b.partition, b."offset") = (a.topic, a.partition, a."offset" + 1))
    GROUP BY "group", topic, partition LIMIT 1""",
)
TORN_OUTPUT = """INSERT INTO outputs ("group", topic, partition, "offset", out_topic, key, value, headers)
    SELECT min("group"), 'orders.stock', $1, 0, 'orders.billing', 'k', 'v', '[["ce_id", "torn"]]' FROM claims"""
ANSWER_WITHOUT_ORDER = (
    """INSERT INTO idempotency_keys (customer_id, key, body_digest, order_id)
    VALUES ('fay', 'key of no order', '', gen_random_uuid())""",
)
ALTERED_OUTPUT = """INSERT INTO outputs ("group", topic, partition, "offset", out_topic, key, value, headers)
    SELECT "group", topic, partition, "offset", 'orders.stock', 'k', 'other bytes',
        convert_to('[["ce_id", "' || $1::text || '"]]', 'UTF8') FROM claims WHERE event_id = $2"""
ACCEPT = (
    """INSERT INTO orders (order_id, customer_id, status, total_minor, currency, placed_at)
    SELECT $2, customer_id, 'placed', total_minor, currency, placed_at + make_interval(secs => $3)
    FROM orders WHERE order_id = $1""",
    """INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
    SELECT $2, line_no, sku, quantity, unit_price_minor FROM order_lines WHERE order_id = $1 AND $3::int >= 0""",
    """INSERT INTO idempotency_keys (customer_id, key, body_digest, order_id, created_at)
    SELECT customer_id, $2::uuid::text, body_digest, $2, created_at + make_interval(secs => $3)
    FROM idempotency_keys WHERE order_id = $1""",
)


async def accept(settled: Settled, template: str, order_id: str, *, later_s: int) -> None:
    """Insert an order into checkout's database as if it had been accepted so much later than the template."""
    await settled.execute("checkout", *((statement, template, order_id, later_s) for statement in ACCEPT))
