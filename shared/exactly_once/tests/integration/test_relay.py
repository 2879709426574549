"""The relay on real Kafka and PostgreSQL: whatever happens to it, each committed row is published once and in order."""

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts import OrderPlaced
from exactly_once import Codec, KafkaSettings, Outbox, Registry, RejectRecord, Relay, relay, relay_store
from exactly_once.batch import Output, Record
from exactly_once.doorbell import listening
from exactly_once.envelope import CORRELATION_ID, text_header
from exactly_once.kafka.progress import last_value
from exactly_once.relay_store import Label, RelayStore
from exactly_once.transactions import transaction
from waybill.stack import Stack

pytestmark = pytest.mark.integration

Eventually = Callable[..., Awaitable[None]]
WITHIN_THE_LEASE_S = relay_store.LEASE_S + relay.RENEW_S + 6.0  # and a producer's start on a busy machine


@dataclass
class Door:
    """Where requests come in: events go into the outbox, each under a number, and come out of the topic."""

    engine: AsyncEngine
    kafka: KafkaSettings
    outbox: Outbox
    order: Callable[[], OrderPlaced]
    visible: Callable[[str], list[Record]]
    run: str = ""

    async def put(self, connection: AsyncConnection, *numbers: int) -> None:
        for number in numbers:
            await self.outbox.put(connection, [self.order()], correlation_id=f"{self.run}/{number}")

    async def request(self, *numbers: int) -> None:
        async with transaction(self.engine) as connection:
            await self.put(connection, *numbers)

    def published(self) -> list[int]:
        """Return the numbers of this test in the order in which a reader sees them; one customer's, so one order."""
        journeys = (text_header(record.headers, CORRELATION_ID) for record in self.visible("orders"))
        return [int(each.partition("/")[2]) for each in journeys if each.startswith(self.run)]

    def relay(self, kind: type[Relay] = Relay) -> Relay:
        return kind("checkout", engine=self.engine, kafka=self.kafka)

    async def ask(self, statement: str, **places: Any) -> Any:
        async with transaction(self.engine) as connection:
            return (await connection.execute(text(statement), places)).scalar()

    async def set_relay(self, what: str) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(text(f"UPDATE relay SET {what} WHERE name = 'checkout'"))  # noqa: S608  # a test's


@pytest.fixture
async def door(
    namespaced_stack: Stack,
    engine_of: Callable[[str], AsyncEngine],
    kafka_of: Callable[[str], KafkaSettings],
    an_order: Callable[[], OrderPlaced],
    visible: Callable[[str], list[Record]],
) -> AsyncIterator[Door]:
    engine, kafka = engine_of("checkout"), kafka_of("checkout")
    async with Registry(namespaced_stack.registry_url) as registry:
        codec = await Codec.open(registry, "/test", emits=[OrderPlaced], handles=[], prefix=kafka.prefix)
        yield Door(engine, kafka, Outbox(codec), an_order, visible, run=str(uuid4()))
    assert await Door.ask(Door(engine, kafka, Outbox(codec), an_order, visible), "SELECT count(*) FROM outbox") == 0


@asynccontextmanager
async def running(worker: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.stop()
        await asyncio.wait({task})  # on a busy machine a stop may have to cut it off
        assert task.cancelled() or task.exception() is None


@pytest.fixture
def relay_process(
    url_of: Callable[[str], URL], kafka_of: Callable[[str], KafkaSettings]
) -> Iterator[Callable[[], int]]:
    """Start a process that runs a relay; return its id."""
    started: list[subprocess.Popen[bytes]] = []
    kafka = kafka_of("checkout")
    names = ("bootstrap", "user", "credential", "ca_file", "prefix")
    told = {
        "url": url_of("checkout").render_as_string(hide_password=False),
        "kafka": {name: str(getattr(kafka, name)) for name in names},
    }

    def start() -> int:
        program = Path(__file__).with_name("relay_process.py")
        process = subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        started.append(process)
        assert process.stdin is not None
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.close()
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait()


class Died(Exception):
    """What the relays below die of."""


class DiesBeforePublishing(Relay):
    async def _publish(self, label: Label, rows: list[Output]) -> None:
        raise Died("with a batch labelled")


class DiesBeforeDeleting(Relay):
    async def _delete(self, epoch: int, label: Label) -> None:
        raise Died("with a batch published")


async def dead(door: Door, kind: type[Relay], eventually: Eventually) -> None:
    """Let a relay die, and its lease end."""
    async with running(door.relay(kind)) as victim:
        await eventually(lambda: "with a batch" in (victim.health() or ""))
    await door.set_relay("lease_until = now() - interval '1 second'")


async def test_a_relay_killed_or_stalled_is_replaced_within_its_lease_and_nothing_is_lost_doubled_or_swapped(
    door: Door, relay_process: Callable[[], int], eventually: Eventually
) -> None:
    await door.request(1)
    leader = relay_process()
    await eventually(lambda: door.published() == [1])
    async with running(door.relay()) as standby:
        await door.request(2, 3)
        os.kill(leader, signal.SIGSTOP)
        await door.request(4, 5)
        standby.wake()
        await eventually(lambda: door.published() == [1, 2, 3, 4, 5], WITHIN_THE_LEASE_S)
        os.kill(leader, signal.SIGCONT)  # it finds its lease gone, its epoch old, its producer fenced
        await door.request(6, 7)
        standby.wake()
        await eventually(lambda: door.published() == list(range(1, 8)))
    await door.request(8)  # the standby has handed the lease over: the process from before leads again
    await eventually(lambda: door.published() == list(range(1, 9)))
    os.kill(leader, signal.SIGKILL)
    await door.request(9)
    async with running(door.relay()):
        await eventually(lambda: door.published() == list(range(1, 10)), WITHIN_THE_LEASE_S)


@pytest.mark.parametrize("dying", [DiesBeforePublishing, DiesBeforeDeleting])
async def test_a_batch_on_its_way_when_the_relay_dies_is_published_once(
    door: Door, dying: type[Relay], eventually: Eventually
) -> None:
    await door.request(1, 2, 3)
    await dead(door, dying, eventually)
    await door.request(4)
    async with running(door.relay()):
        await eventually(lambda: door.published()[-1:] == [4])
    assert door.published() == [1, 2, 3, 4]


async def test_only_a_batch_of_the_same_identity_counts_as_published(door: Door, eventually: Eventually) -> None:
    await door.request(1)
    await dead(door, DiesBeforeDeleting, eventually)
    await door.set_relay("batch = gen_random_uuid()")  # its number was used for another batch, which was published
    async with running(door.relay()):
        await eventually(lambda: door.published() == [1, 1])


async def test_a_stalled_relays_late_label_and_late_delete_change_nothing(door: Door, eventually: Eventually) -> None:
    store = RelayStore("checkout")
    async with transaction(door.engine) as connection:
        await store.introduce(connection)
        stalled = (await store.bump(connection)).epoch
    await door.request(1, 2)
    async with transaction(door.engine) as connection:
        epoch = (await store.bump(connection)).epoch
        assert await store.label(connection, stalled, 10) is None
        assert await store.is_fenced(connection, stalled)
        label = await store.label(connection, epoch, 10)
        assert label is not None
        assert not await store.delete(connection, stalled, label)
        assert await store.label(connection, epoch, 10) is None, "an earlier label is not deleted yet"
        assert [row.offset for row in await store.rows(connection, label)] == label.ids
    async with running(door.relay()):
        await eventually(lambda: door.published() == [1, 2])


@pytest.mark.parametrize(
    ("damage", "repair", "sentence"),
    [
        ("last = last - 1", "last = last + 1", "ahead of PostgreSQL's"),
        ("last = last + 2", "last = last - 2", "batches were published: the topic lost records"),
    ],
)
async def test_a_relay_that_does_not_fit_its_progress_stops_with_a_sentence_until_repaired(
    door: Door, damage: str, repair: str, sentence: str, eventually: Eventually
) -> None:
    await door.request(1)
    async with running(door.relay()):
        await eventually(lambda: door.published() == [1])
    await door.request(2)
    await door.set_relay(damage)
    async with running(door.relay()) as halted:
        await eventually(lambda: sentence in (halted.health() or ""))
    assert "give the row of `relay` the number" in (halted.health() or "")
    assert door.published() == [1]
    await door.set_relay(f"{repair}, lease_until = now() - interval '1 second'")
    async with running(door.relay()):
        await eventually(lambda: door.published() == [1, 2])


async def test_an_empty_progress_topic_is_a_loss_except_before_the_first_batch(
    engine_of: Callable[[str], AsyncEngine], kafka_of: Callable[[str], KafkaSettings], eventually: Eventually
) -> None:
    engine, kafka = engine_of("inventory"), kafka_of("inventory")
    async with transaction(engine) as connection:
        await RelayStore("inventory").introduce(connection)
        await connection.execute(text("UPDATE relay SET last = 1, batch = gen_random_uuid(), rows = '{1}'"))
    async with running(Relay("inventory", engine=engine, kafka=kafka)) as halted:
        await eventually(lambda: "the topic inventory.relay is empty" in (halted.health() or ""))
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE relay SET last = 0, batch = NULL, rows = '{}', lease_until = now()"))
    async with running(Relay("inventory", engine=engine, kafka=kafka)) as first:
        await eventually(lambda: first.health() is None)
    assert await last_value(kafka, "inventory.relay") == b'{"number": 0, "batch": null}'


async def test_a_request_that_rolled_back_publishes_nothing_and_its_gap_in_the_ids_loses_no_row(
    door: Door, eventually: Eventually
) -> None:
    async with running(door.relay()) as leader:
        await door.request(1)
        with pytest.raises(Died):
            await refused_request(door)
        await door.request(3)
        leader.wake()
        await eventually(lambda: door.published() == [1, 3])
    assert await door.ask("SELECT count(*) FROM outbox") == 0


async def refused_request(door: Door) -> None:
    async with transaction(door.engine) as connection:
        await door.put(connection, 2)
        raise Died("before its commit")


async def test_a_row_committed_late_under_an_early_id_is_published_all_the_same(
    door: Door, eventually: Eventually
) -> None:
    async with running(door.relay()) as leader:
        async with transaction(door.engine) as slow:
            await door.put(slow, 1)  # the lower id, not committed yet
            await door.request(2)
            leader.wake()
            await eventually(lambda: door.published() == [2])
        leader.wake()
        await eventually(lambda: door.published() == [2, 1])


async def test_a_request_sent_after_another_was_answered_is_published_after_it(
    door: Door, eventually: Eventually
) -> None:
    async with door.engine.connect() as one, door.engine.connect() as other:  # connections draw ids side by side
        for number in range(0, 20, 2):
            for connection, each in ((one, number), (other, number + 1)):
                await door.put(connection, each)
                await connection.commit()  # answered: the next is sent only now
        async with running(door.relay()):
            await eventually(lambda: len(door.published()) == 20)
    assert door.published() == list(range(20))


async def test_a_batch_is_bounded_by_bytes_and_a_large_row_still_passes(
    door: Door, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    before = await door.ask("SELECT coalesce(max(last), 0) FROM relay WHERE name = 'checkout'")
    monkeypatch.setattr(relay_store, "MOST_BYTES", 1)
    await door.request(1, 2, 3)
    async with running(door.relay()):
        await eventually(lambda: door.published() == [1, 2, 3])
    assert await door.ask("SELECT last FROM relay WHERE name = 'checkout'") == before + 3


async def test_an_event_larger_than_a_record_may_be_is_refused_as_it_is_put(door: Door) -> None:
    huge = door.order().model_copy(update={"payment_token": "x" * 1_000_000})
    with pytest.raises(RejectRecord, match="more than a record may"):
        async with transaction(door.engine) as connection:
            await door.outbox.put(connection, [door.order(), huge], correlation_id=door.run)
    assert await door.ask("SELECT count(*) FROM outbox") == 0


async def test_the_leader_is_woken_by_postgresql_without_waiting_for_its_poll(
    door: Door, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(relay, "IDLE_POLL_S", 1_000.0)
    async with running(door.relay()):
        await door.request(1)
        await eventually(lambda: door.published() == [1])
        await door.request(2)
        async with transaction(door.engine) as connection:
            await RelayStore("checkout").ring(connection)
        await eventually(lambda: door.published() == [1, 2])


async def test_a_standby_tells_the_leader_of_what_its_process_committed(door: Door, eventually: Eventually) -> None:
    rings: list[int] = []
    async with running(door.relay()) as leader, running(door.relay()) as standby:
        await eventually(lambda: leader.health() is None and standby.health() is None)
        async with listening(door.engine.url, RelayStore("checkout").channel, lambda: rings.append(1)):
            await eventually(lambda: len(rings) == 1)  # as it begins
            leader.wake()
            standby.wake()
            await eventually(lambda: len(rings) == 2)


async def test_the_doorbell_has_a_connection_of_its_own_and_gets_another_when_that_is_cut(
    door: Door, eventually: Eventually
) -> None:
    rings: list[dt.datetime] = []
    asked = "FROM pg_stat_activity WHERE application_name = 'test.outbox-doorbell' AND datname = current_database()"
    async with listening(door.engine.url, "test.outbox", lambda: rings.append(dt.datetime.now(dt.UTC))):
        await eventually(lambda: len(rings) == 1)  # as it begins: something may have been missed
        await door.ask("SELECT pg_notify('test.outbox', '')")
        await eventually(lambda: len(rings) == 2)
        assert await door.ask(f"SELECT count(*) {asked}") == 1
        await door.ask(f"SELECT count(pg_terminate_backend(pid)) {asked}")
        await eventually(lambda: len(rings) == 3)
        await door.ask("SELECT pg_notify('test.outbox', '')")
        await eventually(lambda: len(rings) == 4)
