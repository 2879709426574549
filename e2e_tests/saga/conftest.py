"""The four services' real processors and databases around one broker in memory, each record let through by hand."""

import asyncio
import datetime as dt
import importlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from accounting.gateway import Gateway
from chassis.migrate import MigrationSettings, migrate
from checkout import store
from contracts import SERVICES, Money, OrderCancelled, OrderLine, OrderPlaced
from exactly_once import Event
from exactly_once.batch import Partition, Record
from exactly_once.envelope import ID, TYPE, text_header
from exactly_once.kafka.partitioning import partition_of
from exactly_once.processor import Processor
from exactly_once.testing import MemoryBroker, TestKit, empty_database
from exactly_once.transactions import transaction
from inventory.sweeps import expiry
from waybill.stack import Stack

PRICE = Money(amount_minor=1999, currency="EUR")
UNREAD = {"out_topic": "orders", "out_key": b"", "out_value": b"", "out_headers": b"[]"}  # no relay: the order is put

_RECEIVE = text("INSERT INTO stock (sku, received, free, held, shipped) VALUES (:sku, :units, :units, 0, 0)")
_LIST = text("INSERT INTO products VALUES (:sku, :sku, :minor, :currency)")
_STOCK = text("SELECT received, free, held, shipped FROM stock WHERE sku = :sku")
_STATUS = text("SELECT status, cancellation FROM orders WHERE order_id = :order_id")
_SHIPMENTS = text("SELECT count(*) FROM shipments WHERE order_id = :order_id")


class Answer:
    """What the provider answers over HTTP."""

    def __init__(self, status: int, body: dict[str, str]) -> None:
        self.status, self._body = status, body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def json(self, content_type: str | None = None) -> dict[str, str]:
        return self._body

    async def text(self) -> str:
        return str(self._body)


class Provider:
    """A payment provider in this process, in the place of the gateway's HTTP session: it keeps what it was asked."""

    def __init__(self) -> None:
        self.charged: Counter[str] = Counter()
        self.refunded: Counter[str] = Counter()
        self._answers: dict[str, Answer] = {}

    def post(self, url: str, *, json: dict[str, Any], headers: dict[str, str], allow_redirects: bool) -> Answer:
        key = headers["Idempotency-Key"]
        first = key not in self._answers
        if first:
            self._answers[key] = self._decide(url.rsplit("/", 1)[1], json)
        if first and json.get("payment_token") == "tok_timeout_after_charge":
            raise TimeoutError("charged, but the answer got lost")
        return self._answers[key]

    def _decide(self, what: str, asked: dict[str, Any]) -> Answer:
        if asked.get("payment_token") == "tok_declined":
            return Answer(402, {"detail": "no money"})
        moved, name = (self.charged, "charge_id") if what == "charges" else (self.refunded, "refund_id")
        moved[asked["reference"]] += 1
        return Answer(201, {name: str(uuid4())})


class Shop:
    """The four services. Nothing moves but by `deliver`."""

    def __init__(self, kits: dict[str, TestKit], engines: dict[str, AsyncEngine], provider: Provider) -> None:
        self.broker = kits["checkout"].broker
        self.provider = provider
        self._kits, self._engines = kits, engines
        self._processors: dict[str, Processor] = {name: processor_of(name) for name in kits}

    async def receive(self, sku: str, units: int) -> None:
        await self._execute("inventory", _RECEIVE, sku=sku, units=units)
        await self._execute("checkout", _LIST, sku=sku, minor=PRICE.amount_minor, currency=PRICE.currency)

    async def place(self, customer_id: str, sku: str, token: str) -> UUID:
        """Do what checkout's door does: store the order, and publish it."""
        line = OrderLine(sku=sku, quantity=1, unit_price=PRICE)
        now = dt.datetime.now(dt.UTC)
        order = OrderPlaced(
            order_id=uuid4(), customer_id=customer_id, lines=[line], total=PRICE, payment_token=token, placed_at=now
        )
        async with transaction(self._engines["checkout"]) as connection:
            claim = store.Claim(customer_id, str(order.order_id), b"", order.order_id)
            placing = await store.place(connection, claim, order, UNREAD)
        assert placing is store.Placing.DONE
        self._kits["inventory"].put(order, str(uuid4()))
        return order.order_id

    async def cancel(self, customer_id: str, order_id: UUID) -> bool:
        """Do what checkout's door does with a cancellation; False where it refuses."""
        async with transaction(self._engines["checkout"]) as connection:
            found = await store.stand(connection, order_id)
            if found is None or found[1].cancellation or not found[1].ask():
                return False
            await store.ask_to_cancel(connection, order_id)
        asked = OrderCancelled(order_id=order_id, customer_id=customer_id, asked_at=dt.datetime.now(dt.UTC))
        self._kits["fulfillment"].put(asked, str(uuid4()))
        return True

    async def sweep(self) -> bool:
        """Tell every reservation that is held to expire; False where none is."""
        async with transaction(self._engines["inventory"]) as connection:
            due = await expiry(0)(connection, 10)
        for each in due:
            self._kits["inventory"].put(each.command, each.event_id)
        return bool(due)

    def deliverable(self, customer_id: str) -> list[tuple[str, Partition]]:
        """Return which service could be given its next record of which topic; what it would skip is passed over."""
        found = []
        for service, processor in self._processors.items():
            for topic in sorted(processor.topics):
                place = Partition(topic, partition_of(customer_id.encode(), 3))
                while (record := self.broker.waiting(service, place)) and type_of(record) not in handled(processor):
                    self.broker.let_through(service, place)
                if record is not None:
                    found.append((service, place))
        return found

    async def deliver(self, service: str, place: Partition) -> Record | None:
        record = self.broker.let_through(service, place)
        await self._kits[service].processed()
        return record

    def double(self, record: Record, *, same_id: bool) -> None:
        """Put a record into its topic once more."""
        headers = record.headers
        if not same_id:
            headers = tuple((name, str(uuid4()).encode() if name == ID else value) for name, value in headers)
        self.broker.append(record.source.topic, record.key, record.value, headers)

    async def stock(self, sku: str) -> tuple[int, int, int, int]:
        received, free, held, shipped = (await self._execute("inventory", _STOCK, sku=sku))[0]
        return received, free, held, shipped

    async def status(self, order_id: UUID) -> tuple[str, str | None]:
        status, cancellation = (await self._execute("checkout", _STATUS, order_id=order_id))[0]
        return status, cancellation

    async def shipments(self, order_id: UUID) -> int:
        return int((await self._execute("fulfillment", _SHIPMENTS, order_id=order_id))[0][0])

    async def emitted(self) -> list[Event]:
        """Return what the services have emitted since the last time: each one's events in its order."""
        return [event for kit in self._kits.values() for event in await kit.settled()]

    def letters(self, customer_id: str) -> list[str]:
        """Return why a customer's records became dead letters."""
        found = self.broker.records(*(f"{service}.dead-letters" for service in self._kits))
        return [text_header(each.headers, "dlq_why") for each in found if each.key == customer_id.encode()]

    async def _execute(self, service: str, statement: Any, **places: Any) -> list[Any]:
        async with transaction(self._engines[service]) as connection:
            result = await connection.execute(statement, places)
            return list(result) if result.returns_rows else []


def processor_of(service: str) -> Processor:
    processor: Processor = importlib.import_module(f"{service}.handlers").processor
    return processor


def handled(processor: Processor) -> set[str]:
    return {event_type.__name__ for event_type in processor.handlers}


def type_of(record: Record) -> str:
    return text_header(record.headers, TYPE)


@asynccontextmanager
async def database_of(service: str, server: URL, folder: Path) -> AsyncIterator[AsyncEngine]:
    """Make a database of a service as its migrations do."""
    name = f"saga_{service}_{uuid4().hex[:12]}"
    password = folder / "password"
    password.write_text(server.password or "")
    async with empty_database(server, name) as url:
        settings = MigrationSettings(
            host=str(url.host), port=int(url.port or 0), database=name, user=str(url.username), password_file=password
        )
        await asyncio.to_thread(migrate, service, settings)
        engine = create_async_engine(url)
        yield engine
        await engine.dispose()


@pytest.fixture(scope="module")
async def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    dsn = stack.postgres_dsn("postgres", "operator").replace("postgresql://", "postgresql+asyncpg://", 1)
    folder, broker, provider = tmp_path_factory.mktemp("saga"), MemoryBroker(), Provider()
    gateway = Gateway(provider, "http://gateway")  # type: ignore[arg-type]  # all that it asks of a session is `post`
    kits, engines = {}, {}
    async with AsyncExitStack() as opened:
        for service in SERVICES:
            engines[service] = await opened.enter_async_context(database_of(service, make_url(dsn), folder))
            resources = [gateway] if service == "accounting" else []
            kit = TestKit(processor_of(service), engine=engines[service], resources=resources, broker=broker)
            kits[service] = await opened.enter_async_context(kit)
            broker.hold(service)
        yield Shop(kits, engines, provider)
