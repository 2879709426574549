"""The relay: who leads, what of a predecessor's is finished, when it sleeps and what wakes it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from shared.exactly_once.tests.memory.scene import PostagePriced, Scene, eventually, running

from exactly_once import Outbox, Relay, pace, relay
from exactly_once.batch import Output, Partition
from exactly_once.doorbell import listening
from exactly_once.relay_store import LEASE_S, Label, RelayStore
from exactly_once.transactions import transaction

SHOP = "shop"
FOR_EVER_S = 1_000.0
REMEDY = "give the row of `relay` the number that the topic ends with (batch NULL, rows empty); then start it again"
STORE = RelayStore(SHOP)


async def request(scene: Scene, *cents: int) -> None:
    events = [PostagePriced(parcel_id="anna", cents=each) for each in cents]
    async with transaction(scene.engine) as connection:
        await Outbox(scene.codec).put(connection, events, correlation_id="journey")


@asynccontextmanager
async def relaying(scene: Scene) -> AsyncIterator[Relay]:
    worker = Relay(SHOP, engine=scene.engine, kafka=scene.cluster)
    async with running(worker):
        yield worker


async def until_priced(scene: Scene, *cents: int) -> None:
    async def is_priced() -> bool:
        return await scene.priced() == list(cents)

    await eventually(is_priced)


async def until_done(scene: Scene) -> None:
    async def is_empty() -> bool:
        return bool(await scene.ask("SELECT (SELECT count(*) FROM outbox) = 0 AND batch IS NULL FROM relay"))

    await eventually(is_empty)


async def progress(scene: Scene) -> tuple[int, str | None]:
    found = json.loads(await scene.cluster.last_value("shop.relay") or b"")
    return found["number"], found["batch"]


async def labelled(scene: Scene) -> Label:
    """Leave a labelled batch behind, as a relay that died."""
    async with transaction(scene.engine) as connection:
        label = await STORE.label(connection, (await STORE.bump(connection)).epoch, 10)
    assert label is not None
    return label


def tell_progress(scene: Scene, number: int, batch: UUID | None) -> None:
    told = {"number": number, "batch": None if batch is None else str(batch)}
    scene.cluster.append("shop.relay", b"progress", json.dumps(told).encode())


def sizes(scene: Scene) -> list[int]:
    """Return how many rows each batch had."""
    return [len(each.outputs) - 1 for each in scene.cluster.published if len(each.outputs) > 1]


@pytest.fixture
def sleeps_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "IDLE_POLL_S", FOR_EVER_S)


@pytest.fixture(autouse=True)
async def introduced(scene: Scene) -> None:
    """Have the row that an earlier start made: who makes it leads only when it asks again."""
    async with transaction(scene.engine) as connection:
        await STORE.introduce(connection)


async def test_rows_are_published_in_order_with_their_progress_and_deleted(scene: Scene) -> None:
    relayed = REGISTRY.get_sample_value("exactly_once_relayed_total", {"name": SHOP}) or 0
    await request(scene, 1, 2, 3)
    async with relaying(scene) as worker:
        await until_done(scene)
        assert worker.health() is None
    assert await scene.priced() == [1, 2, 3]
    batch = [output for each in scene.cluster.published for output in each.outputs][-1]
    assert (batch.source, batch.out_topic, batch.key) == (Partition("shop.relay", 0), "shop.relay", b"progress")
    assert (await progress(scene))[0] == 1
    assert REGISTRY.get_sample_value("exactly_once_relayed_total", {"name": SHOP}) == relayed + 3


async def test_before_the_first_batch_the_topic_says_that_there_is_none(scene: Scene) -> None:
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
        assert await progress(scene) == (0, None)
        assert len(scene.cluster.published) == 1
        await request(scene, 1)
        worker.wake()
        await until_done(scene)


async def test_the_first_relay_of_all_makes_the_row(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "RENEW_S", 0.05)
    await scene.do("DELETE FROM relay")
    await request(scene, 1)
    async with relaying(scene):
        await until_priced(scene, 1)


async def test_a_batch_holds_so_many_rows_and_no_more(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MOST_ROWS", 2)
    await request(scene, 1, 2, 3, 4, 5)
    async with relaying(scene):
        await until_done(scene)
    assert (sizes(scene), (await progress(scene))[0]) == ([2, 2, 1], 3)


@pytest.mark.usefixtures("sleeps_for_ever")
async def test_a_leader_is_woken_by_its_process_and_by_postgresql(scene: Scene) -> None:
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
        await asyncio.sleep(0.1)
        await request(scene, 1)
        worker.wake()
        await until_priced(scene, 1)
        await request(scene, 2)
        async with transaction(scene.engine) as connection:
            await STORE.ring(connection)
        await until_priced(scene, 1, 2)


async def test_a_leader_that_nobody_wakes_looks_by_itself_and_seldom(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "IDLE_POLL_S", 0.1)
    label, looks = RelayStore.label, 0

    async def counted(store: RelayStore, *places: object) -> Label | None:
        nonlocal looks
        looks += 1
        return await label(store, *places)  # type: ignore[arg-type]

    monkeypatch.setattr(RelayStore, "label", counted)
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
        started = time.monotonic()
        worker.wake()
        await asyncio.sleep(0.5)
        assert looks <= 4 + (time.monotonic() - started) / relay.IDLE_POLL_S
        await request(scene, 1)
        await until_priced(scene, 1)


@pytest.mark.usefixtures("sleeps_for_ever")
async def test_a_leader_that_ends_hands_its_lease_over_and_the_next_leads_at_once(scene: Scene) -> None:
    for number in (1, 2):
        started = time.monotonic()
        await request(scene, number)
        async with relaying(scene):
            await until_done(scene)
        assert time.monotonic() - started < 2
        assert await scene.ask("SELECT lease_until <= now() FROM relay")
        assert (scene.cluster.stopped, await scene.ask("SELECT epoch FROM relay")) == (number, number)
    assert await scene.priced() == [1, 2]


@pytest.mark.usefixtures("sleeps_for_ever")
async def test_a_leader_that_is_told_to_end_while_it_rests_ends_after_its_rest(scene: Scene) -> None:
    scene.cluster.cost_s = 0.1
    await request(scene, 1)
    async with relaying(scene):
        await until_done(scene)
    assert await scene.ask("SELECT lease_until <= now() FROM relay"), "it was not cut off"


async def test_a_dear_batch_is_followed_by_a_rest(scene: Scene) -> None:
    scene.cluster.cost_s = 0.04
    async with relaying(scene) as worker:
        for _ in range(3):
            await request(scene, *range(pace.ENOUGH))
            worker.wake()
            await until_done(scene)
    for before, after in pairwise(scene.cluster.published[-3:]):
        assert after.began - before.ended >= pace.REST_PER_COST * 0.035


async def test_a_batch_of_few_rows_is_followed_by_a_shorter_rest(scene: Scene) -> None:
    scene.cluster.cost_s = 0.04
    assert min(await gaps_of_single_rows(scene)) < pace.REST_PER_COST * 0.04 / 2


async def test_a_cheap_batch_is_followed_by_hardly_a_rest(scene: Scene) -> None:
    assert min(await gaps_of_single_rows(scene)) < pace.LONGEST_REST_S / 2


async def gaps_of_single_rows(scene: Scene) -> list[float]:
    """Publish six rows, one at a time, and return the seconds between the last five."""
    async with relaying(scene) as worker:
        for number in range(6):
            await request(scene, number)
            worker.wake()
            await until_done(scene)
    return [after.began - before.ended for before, after in pairwise(scene.cluster.published[-5:])]


@pytest.mark.usefixtures("sleeps_for_ever")
async def test_a_standby_tells_the_leader_what_its_process_committed(scene: Scene) -> None:
    async with relaying(scene) as leader:
        await eventually(lambda: leader.health() is None)
        async with relaying(scene) as standby:
            await eventually(lambda: standby.health() is None)
            await request(scene, 1)
            standby.wake()
            await until_priced(scene, 1)


@asynccontextmanager
async def heard(scene: Scene) -> AsyncIterator[list[float]]:
    """Collect when the shop's channel rings."""
    rings: list[float] = []
    async with listening(scene.engine.url, STORE.channel, lambda: rings.append(time.monotonic())):
        await eventually(lambda: len(rings) == 1)  # as it begins
        rings.clear()
        yield rings


async def test_a_standby_rings_once_for_what_it_was_woken_for_and_not_otherwise(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "RENEW_S", 0.05)
    await led_by_another(scene, 3600)
    async with heard(scene) as rings:
        async with relaying(scene) as standby:
            await eventually(lambda: standby.health() is None)
            standby.wake()
            await eventually(lambda: len(rings) == 1)
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.05)
        assert len(rings) == 1


async def test_one_ring_speaks_for_all_commits_of_a_moment(scene: Scene) -> None:
    await led_by_another(scene, 3600)
    async with heard(scene) as rings, relaying(scene) as standby:
        await eventually(lambda: standby.health() is None)
        started = time.monotonic()
        while time.monotonic() < started + 0.3:
            standby.wake()
            await asyncio.sleep(0.001)
        assert len(rings) >= 1
        assert len(rings) <= (time.monotonic() - started) / relay.RING_REST_S + 1


async def led_by_another(scene: Scene, seconds: float) -> None:
    await scene.do(
        "UPDATE relay SET holder = 'another', lease_until = now() + make_interval(secs => :seconds)", seconds=seconds
    )


async def test_a_standby_asks_now_and_then_and_leads_when_the_lease_has_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "RENEW_S", 0.1)
    lease, asked = RelayStore.lease, 0

    async def counted(store: RelayStore, *places: object) -> bool:
        nonlocal asked
        asked += 1
        return await lease(store, *places)  # type: ignore[arg-type]

    monkeypatch.setattr(RelayStore, "lease", counted)
    await request(scene, 1)
    await led_by_another(scene, 0.5)
    started = time.monotonic()
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
        await asyncio.sleep(0.3)
        assert 2 <= asked <= 2 + (time.monotonic() - started) / relay.RENEW_S
        assert await scene.priced() == []
        await until_priced(scene, 1)


async def test_a_standby_ends_when_it_is_told_to(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "RENEW_S", FOR_EVER_S)
    await led_by_another(scene, 3600)
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
    assert scene.cluster.stopped == 1


def test_a_lease_is_renewed_several_times_before_it_would_end() -> None:
    assert 0 < relay.RENEW_S <= LEASE_S / 3


async def test_a_busy_leader_renews_its_lease_once_a_while(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[float] = []
    lease = RelayStore.lease

    async def counted(store: RelayStore, *places: object) -> bool:
        renewed.append(time.monotonic())
        return await lease(store, *places)  # type: ignore[arg-type]

    monkeypatch.setattr(RelayStore, "lease", counted)
    monkeypatch.setattr(relay, "IDLE_POLL_S", 0.02)
    monkeypatch.setattr(relay, "RENEW_S", 0.2)
    started = time.monotonic()
    async with relaying(scene):
        await eventually(lambda: len(renewed) >= 4)
    assert renewed[3] - started >= 3 * relay.RENEW_S


async def test_a_leader_whose_lease_went_to_another_stands_by_until_that_has_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "RENEW_S", 0.05)
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
        await led_by_another(scene, 3600)
        await asyncio.sleep(0.15)
        await request(scene, 1)
        worker.wake()
        await asyncio.sleep(0.2)
        assert await scene.priced() == []
        assert await scene.ask("SELECT holder FROM relay") == "another"
        await led_by_another(scene, 0)
        await until_priced(scene, 1)


async def test_a_batch_that_was_labelled_and_not_published_is_published_under_its_number(scene: Scene) -> None:
    tell_progress(scene, 0, None)
    await request(scene, 1, 2)
    label = await labelled(scene)
    await request(scene, 3)
    async with relaying(scene):
        await until_done(scene)
    assert await scene.priced() == [1, 2, 3]
    batches = [json.loads(each.outputs[-1].value or b"") for each in scene.cluster.published]
    assert [batch["number"] for batch in batches] == [1, 2]
    assert batches[0]["batch"] == str(label.batch)


async def test_a_batch_that_was_published_and_not_deleted_is_deleted(scene: Scene) -> None:
    await request(scene, 1, 2)
    label = await labelled(scene)
    tell_progress(scene, 1, label.batch)
    async with relaying(scene):
        await until_done(scene)
    assert await scene.priced() == []


@pytest.mark.parametrize("other", [UUID(int=1), UUID(int=(1 << 128) - 1)])
async def test_a_number_that_another_batch_used_counts_for_nothing(scene: Scene, other: UUID) -> None:
    await request(scene, 1, 2)
    await labelled(scene)
    tell_progress(scene, 1, other)
    async with relaying(scene):
        await until_done(scene)
    assert await scene.priced() == [1, 2]


EMPTY = (
    "the topic shop.relay is empty, but PostgreSQL has labelled {} batches: the topic lost its records. Find out what "
    f"of the outbox is already in its topics, delete those rows, and {REMEDY}"
)
AHEAD = (
    "the relay's progress {} is ahead of PostgreSQL's {}: PostgreSQL lost commits (was a backup restored?). Find out "
    f"what of the outbox is already in its topics, delete those rows, and {REMEDY}"
)
BEHIND = (
    "the topic shop.relay ends at {}, but {} batches were published: the topic lost records. Find out what else Kafka "
    f"lost, and {REMEDY}"
)


@pytest.mark.parametrize(
    ("last", "is_labelled", "number", "sentence"),
    [
        (1, False, None, EMPTY.format(1)),
        (1, True, None, EMPTY.format(1)),
        (2, False, 3, AHEAD.format(3, 2)),
        (2, False, 1, BEHIND.format(1, 2)),
        (2, True, 0, BEHIND.format(0, 2)),
    ],
)
async def test_a_progress_that_does_not_fit_halts_with_what_to_do(
    scene: Scene,
    last: int,
    is_labelled: bool,  # noqa: FBT001  # pytest names it
    number: int | None,
    sentence: str,
) -> None:
    await request(scene, 1)
    if is_labelled:
        await labelled(scene)
    else:
        await led_by_another(scene, 0)
    await scene.do("UPDATE relay SET last = :last", last=last)
    if number is not None:
        tell_progress(scene, number, uuid4())
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() == sentence)
    assert scene.cluster.published == []


async def test_a_relay_goes_on_where_its_predecessor_ended(scene: Scene) -> None:
    tell_progress(scene, 2, uuid4())
    await led_by_another(scene, 0)
    await scene.do("UPDATE relay SET last = 2")
    await request(scene, 1)
    async with relaying(scene):
        await until_done(scene)
    assert (await progress(scene))[0] == 3


async def test_a_leader_that_is_overtaken_says_so_and_takes_over_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "IDLE_POLL_S", 0.02)
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
        await scene.do("UPDATE relay SET epoch = epoch + 1")
        await eventually(lambda: worker.health() == "the relay of shop was taken over")
        await request(scene, 1)
        await until_priced(scene, 1)


async def test_a_leader_overtaken_between_publication_and_deletion_publishes_nothing_twice(scene: Scene) -> None:
    async def overtaken() -> None:
        if len(scene.cluster.published) == 2:  # the empty progress, the batch
            await scene.do("UPDATE relay SET epoch = epoch + 1")

    scene.cluster.after_publishing = overtaken
    await request(scene, 1)
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() == "the relay of shop was taken over")
        await until_done(scene)
    assert await scene.priced() == [1]


async def test_failures_with_a_success_in_between_are_not_in_a_row(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_BACKOFF_S", 0.02)
    async with relaying(scene) as worker:
        await eventually(lambda: worker.health() is None)
        for number in range(9):  # the ninth in a row waits for 2.5 seconds
            scene.cluster.failures = 1
            started = time.monotonic()
            await request(scene, number)
            worker.wake()
            await until_done(scene)
    assert time.monotonic() - started < 1.5
    assert await scene.priced() == list(range(9))


async def test_what_a_predecessor_had_open_is_aborted(scene: Scene) -> None:
    tell_progress(scene, 0, None)
    await request(scene, 1)
    await labelled(scene)
    opened = scene.cluster.open("shop.relay", scene.cluster.take_over("shop.relay"))
    scene.cluster.send(opened, [Output(Partition("outbox", 0), 0, "parcels.postage", b"anna", b"torn", ())])
    async with relaying(scene):
        await until_done(scene)
    assert await scene.priced() == [1]
    assert len(scene.cluster.records("parcels.postage")) == 1
