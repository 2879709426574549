"""Faults are planted by operator's rights into a real shop that has done its work; the audit names each."""

import asyncio
import io
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import fastavro
import pytest
from confluent_kafka import Producer

from waybill.audit import Report, audit
from waybill.audit.decoding import Schemas, decode, fetch_schemas, schema_id_of
from waybill.audit.evidence import Record
from waybill.audit.kafka import Raw, Topics
from waybill.customers import Shop
from waybill.local.launch import services
from waybill.stack import Stack

pytestmark = pytest.mark.e2e

WAIT_S = 60
PRODUCTS = {"cd": (1250, 100), "rare": (99, 1), "gift": (0, 10)}
ORDERS = {  # each fault has an order of its own
    "lost": ("anna", "cd", "tok_ok"),
    "doubled": ("bert", "cd", "tok_ok"),
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
    orders: dict[str, str] = field(default_factory=dict)

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
        (found,) = [pair for pair in records if (pair[1].event_type, pair[1].order_id) == (event_type, order_id)]
        return *found, schemas

    async def forge(self, event_type: str, order_id: str, *changed: dict[str, Any]) -> None:
        """Produce, as the operator, an order's event again for each of `changed`, under a new event id each."""
        raw, record, schemas = await self.event(event_type, order_id)
        schema_id = schema_id_of(raw.value) or 0
        schema = schemas[schema_id]
        assert schema is not None
        producer = Producer({**self.stack.kafka_client("operator"), "enable.idempotence": True})
        for changes in changed:
            body = io.BytesIO()
            fields = {**record.fields, **changes}
            fastavro.schemaless_writer(body, schema.parsed, fields)
            producer.produce(
                self.stack.names.topic(record.place.topic),
                key=fields["customer_id"],
                value=b"\0" + schema_id.to_bytes(4, "big") + body.getvalue(),
                headers=list({**raw.headers, "ce_id": str(uuid.uuid4()).encode()}.items()),
                partition=record.place.partition,
            )
        assert producer.flush(30) == 0


def violations(report: Report, invariant: str) -> dict[str, str]:
    (line,) = [line for line in report.invariants if line.id == invariant]
    return {offence.id: offence.what for offence in line.violations}


@pytest.fixture(scope="module")
async def settled(namespaced_stack: Stack) -> AsyncIterator[Settled]:
    """A shop with its real services, in which every order has come to its end."""
    async with services(namespaced_stack) as stack:
        shop = Settled(stack)
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


async def waybill_audit(stack: Stack, home: Path) -> tuple[int, dict[str, Any]]:
    """Run the command on a stack that is seen through a namespace."""
    (home / "stack.json").write_text(stack.model_dump_json())
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("waybill")), "audit", "--json", "--wait", str(WAIT_S),
        env=os.environ | {"WAYBILL_HOME": str(home)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, json.loads(said)


async def test_the_command_passes_a_shop_at_rest(settled: Settled, tmp_path: Path) -> None:
    code, report = await waybill_audit(settled.stack, tmp_path)

    assert code == 0
    assert report["ok"] is True
    verdicts = {line["id"]: line["ok"] for line in report["invariants"]}
    assert {identity for identity, ok in verdicts.items() if ok is None} == {"5b", "11"}
    assert set(verdicts) == {*map(str, range(1, 14)), "5b"}


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


async def test_a_doubled_shipment_is_named_as_a_decision_taken_twice(settled: Settled) -> None:
    order_id = settled.orders["doubled"]
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

    assert stuck[order_id] == "is stuck: its status is placed"
    assert not stuck.keys() & set(settled.orders.values())


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
