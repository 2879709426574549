"""Recovery: Kafka catches up with PostgreSQL, or somebody must look."""

from dataclasses import dataclass, replace

import pytest
from prometheus_client import REGISTRY
from shared.exactly_once.tests.memory.scene import GROUP, Cluster, Scene
from sqlalchemy.ext.asyncio import AsyncEngine

from exactly_once.batch import Output, Partition
from exactly_once.edge import Consumer
from exactly_once.errors import Fenced, FencedByGroup, Halted
from exactly_once.inbox import Inbox
from exactly_once.kafka.membership import Membership
from exactly_once.recovery import Ownership, Recovery
from exactly_once.transactions import transaction

ONE, TWO = Partition("parcels", 0), Partition("parcels", 1)


@dataclass
class Member:
    scene: Scene
    consumer: Consumer
    membership: Membership
    recovery: Recovery

    @property
    def cluster(self) -> Cluster:
        return self.scene.cluster

    async def recover(self) -> Ownership:
        return await self.recovery.recover(self.membership)

    async def owns(self, next_offset: int, pruned_to: int, outputs: int = 0) -> None:
        """Put partition ONE at a position, as batches would; an output for each of the first inputs is stored."""
        await self.scene.do(
            "UPDATE owner SET next_offset = :n, pruned_to = :p WHERE partition = 0", n=next_offset, p=pruned_to
        )
        stored = [Output(ONE, offset, "out", b"anna", b"%d" % offset, ()) for offset in range(outputs)]
        async with transaction(self.scene.engine) as connection:
            await Inbox(GROUP).store(connection, stored)


async def joined(scene: Scene, *topics: str) -> Member:
    consumer = scene.cluster.consumer(GROUP, topics or ["parcels"])
    await consumer.ensure()
    membership = await consumer.membership(1.0)
    assert membership is not None
    producer = scene.cluster.producer(GROUP, "1")
    return Member(scene, consumer, membership, Recovery(scene.engine, Inbox(GROUP), consumer, producer))


@pytest.fixture
async def member(engine: AsyncEngine) -> Member:
    return await joined(await Scene.open(engine, partitions=2))


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"exactly_once_{name}_total", {"group": GROUP}) or 0.0


async def test_partitions_never_consumed_are_owned_from_their_beginnings_and_kafka_learns_it(member: Member) -> None:
    member.cluster.log(ONE).drop_before(5)
    owned = await member.recover()
    assert owned.positions == {ONE: 5, TWO: 0} == member.cluster.committed()
    assert owned.epochs == {ONE: 2, TWO: 2}


async def test_each_recovery_takes_new_epochs_and_publishes_nothing_where_kafka_has_caught_up(member: Member) -> None:
    first, recoveries = await member.recover(), metric("recoveries")
    published = len(member.cluster.published)
    again = await member.recover()
    assert again == Ownership(first.positions, {ONE: 3, TWO: 3})
    assert (len(member.cluster.published), metric("recoveries")) == (published, recoveries + 1)


@pytest.mark.parametrize("pruned_to", [0, 1])
async def test_what_is_decided_and_not_published_is_published_in_order_from_the_stable_offset(
    member: Member, pruned_to: int
) -> None:
    await member.recover()
    await member.owns(3, pruned_to, outputs=3)
    member.cluster.committed()[ONE] = 1
    before = metric("republished")
    owned = await member.recover()
    assert [record.value for record in member.cluster.records("out")] == [b"1", b"2"]
    assert member.cluster.published[-1].positions == {ONE: 3}
    assert owned.positions == {ONE: 3, TWO: 0} == member.cluster.committed()
    assert metric("republished") == before + 2


@pytest.mark.parametrize(
    ("stable", "next_offset", "pruned_to", "sentence"),
    [
        (4, 3, 0, "PostgreSQL lost commits: parcels/0 is at 3, Kafka at 4"),
        (1, 3, 2, "Kafka lost commits: parcels/0 is at 1, outputs below 2 are gone"),
        (-1, 3, 0, "Kafka lost commits: parcels/0 is at -1, outputs below 0 are gone"),
    ],
)
async def test_what_can_not_be_mended_halts_with_a_sentence(
    member: Member, stable: int, next_offset: int, pruned_to: int, sentence: str
) -> None:
    await member.recover()
    await member.owns(next_offset, pruned_to, outputs=3)
    member.cluster.committed()[ONE] = stable
    with pytest.raises(Halted) as caught:
        await member.recover()
    assert str(caught.value) == sentence
    assert member.cluster.records("out") == []


async def test_positions_that_only_kafka_has_halt_with_their_names(member: Member) -> None:
    member.cluster.committed().update({TWO: 7, ONE: 0})
    with pytest.raises(Halted) as caught:
        await member.recover()
    assert str(caught.value) == (
        "PostgreSQL has no position of parcels/0, parcels/1, but Kafka has: was a backup restored?"
    )


async def test_a_member_that_the_group_had_dropped_touches_nothing(member: Member) -> None:
    with pytest.raises(FencedByGroup):
        await member.recovery.recover(replace(member.membership, generation=-1, member_id=""))
    assert member.cluster.replaced == 0


async def test_topics_of_different_widths_are_refused_before_anything_is_touched(scene: Scene) -> None:
    scene.cluster.create("narrow", 1)
    scene.cluster.create("wide", 2)
    member = await joined(scene, "narrow", "wide")
    with pytest.raises(Halted, match="not co-partitioned"):
        await member.recover()
    assert member.cluster.replaced == 0


async def test_who_is_overtaken_while_recovering_goes_on_under_no_epoch(member: Member) -> None:
    await member.recover()

    async def overtaken() -> None:
        async with transaction(member.scene.engine) as connection:
            await Inbox(GROUP).bump(connection, [TWO])

    member.cluster.while_stable = overtaken
    with pytest.raises(Fenced, match="postage: taken over while it recovered"):
        await member.recover()


async def test_what_a_predecessor_had_open_is_aborted_and_published_from_the_store(member: Member) -> None:
    await member.recover()
    await member.owns(1, 0, outputs=1)
    opened = member.cluster.open(f"{GROUP}.1", member.cluster.take_over(f"{GROUP}.1"))
    member.cluster.send(opened, [Output(ONE, 0, "out", b"anna", b"torn", ())])
    member.cluster.send_offsets(opened, GROUP, {ONE: 1}, member.membership)
    await member.recover()
    assert [record.value for record in member.cluster.records("out")] == [b"0"]


async def test_nothing_is_delivered_from_a_recovery_on_until_it_is_resumed(member: Member) -> None:
    member.consumer.resume_at(member.membership, (await member.recover()).positions)
    owned = await member.recover()
    record = member.cluster.append("parcels", b"anna", b"new")
    assert (await member.consumer.poll(member.membership, 0.01, 10)).records == []
    member.consumer.resume_at(member.membership, owned.positions)
    assert (await member.consumer.poll(member.membership, 0.01, 10)).records == [record]
