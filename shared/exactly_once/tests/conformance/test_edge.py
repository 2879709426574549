"""What the library relies on at its edge to Kafka: asked of the broker in memory and of a real cluster alike."""

import asyncio
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from exactly_once.batch import Output, Partition
from exactly_once.errors import FencedByGroup, PublishFailed
from exactly_once.kafka.consumer import NEVER_COMMITTED

Side: TypeAlias = Any  # conftest.py has these two: test files do not import each other
Members: TypeAlias = Any

PLACES = frozenset(Partition("in", number) for number in range(3))
DEADLINE_S = 90
BEGINNINGS = dict.fromkeys(PLACES, 0)


async def test_a_lone_member_has_every_partition_and_nothing_is_committed(members: Members) -> None:
    member = await members.join()
    assert member.membership.partitions == PLACES
    assert await member.consumer.stable_offsets(member.membership) == dict.fromkeys(PLACES, NEVER_COMMITTED)
    assert await member.consumer.beginnings(PLACES) == BEGINNINGS
    assert await member.consumer.beginnings([]) == {}


async def test_outputs_and_offsets_are_published_together(side: Side, members: Members) -> None:
    member = await members.join()
    await publish(member.producer, [member.output(b"1"), member.output(b"2")], BEGINNINGS, member.membership)
    assert [value for _, value in await side.visible("out")] == [b"1", b"2"]
    assert await member.consumer.stable_offsets(member.membership) == BEGINNINGS


async def test_an_older_generation_is_refused_and_nothing_of_it_is_visible(side: Side, members: Members) -> None:
    member = await members.join()
    zombie = replace(member.membership, generation=member.membership.generation - 1)
    with pytest.raises(FencedByGroup, match="refused the commit"):
        await member.producer.publish([member.output(b"zombie's")], BEGINNINGS, zombie)
    await member.producer.replace()
    assert await member.consumer.stable_offsets(member.membership) == dict.fromkeys(PLACES, NEVER_COMMITTED)
    await publish(member.producer, [member.output(b"owner's")], BEGINNINGS, member.membership)
    assert [value for _, value in await side.visible("out")] == [b"owner's"]


async def test_a_member_that_left_is_refused(side: Side, members: Members) -> None:
    member = await members.join()
    await member.consumer.stop()
    with pytest.raises(FencedByGroup, match="refused the commit"):
        await member.producer.publish([member.output(b"late")], BEGINNINGS, member.membership)
    await member.producer.replace()
    assert await side.visible("out") == []


@pytest.mark.parametrize("reset", [{"generation": -1}, {"member_id": ""}])
async def test_a_member_without_generation_or_name_is_refused_at_once(members: Members, reset: dict[str, Any]) -> None:
    member = await members.join()
    with pytest.raises(FencedByGroup, match="had dropped this member"):
        await member.producer.publish([], BEGINNINGS, replace(member.membership, **reset))


async def test_a_replaced_producer_is_refused_and_nothing_of_it_is_visible(side: Side, members: Members) -> None:
    member = await members.join()
    successor = side.edge.producer("group", "1")
    await successor.replace()
    with pytest.raises(PublishFailed):
        await member.producer.publish([member.output(b"predecessor's")], BEGINNINGS, member.membership)
    await publish(successor, [member.output(b"successor's")], BEGINNINGS, member.membership)
    assert [value for _, value in await side.visible("out")] == [b"successor's"]
    await successor.stop()


async def test_after_a_failure_nothing_is_published_until_the_producer_is_replaced(members: Members) -> None:
    member = await members.join()
    zombie = replace(member.membership, generation=member.membership.generation - 1)
    with pytest.raises(FencedByGroup):
        await member.producer.publish([], BEGINNINGS, zombie)
    with pytest.raises(PublishFailed, match="there is no producer"):
        await member.producer.publish([member.output(b"1")], BEGINNINGS, member.membership)


async def test_stable_offsets_wait_for_a_commit_that_is_pending(side: Side, members: Members) -> None:
    member = await members.join()
    pending = await side.begin([], dict.fromkeys(PLACES, 0), member.membership)
    asked = asyncio.create_task(member.consumer.stable_offsets(member.membership))
    done, _ = await asyncio.wait({asked}, timeout=0.5)
    assert not done
    await pending.commit()
    assert await asyncio.wait_for(asked, 10) == BEGINNINGS


async def test_an_aborted_transaction_is_never_seen_and_moves_nothing(side: Side, members: Members) -> None:
    member = await members.join()
    pending = await side.begin([member.output(b"aborted")], BEGINNINGS, member.membership)
    assert await side.visible("out") == []
    await pending.abort()
    assert await member.consumer.stable_offsets(member.membership) == dict.fromkeys(PLACES, NEVER_COMMITTED)
    await publish(member.producer, [member.output(b"committed")], BEGINNINGS, member.membership)
    assert [value for _, value in await side.visible("out")] == [b"committed"]


async def test_a_successor_of_the_same_id_aborts_what_was_open(side: Side, members: Members) -> None:
    member = await members.join()
    pending = await side.begin([member.output(b"open")], {}, member.membership)
    other = side.edge.producer("group", "other")
    await other.replace()
    await publish(other, [member.output(b"after")])
    await other.stop()
    assert [value for _, value in await side.visible("out")] == [b"after"]
    await pending.drop()


async def test_records_behind_an_open_transaction_wait_for_its_end(side: Side, members: Members) -> None:
    member = await members.reading()
    opened = into_input(member.output(b"first"))
    pending = await side.begin([opened], {}, member.membership)
    await side.append("in", b"anna", b"second")
    polled = await member.consumer.poll(member.membership, 0.5, 100)
    assert polled.records == []
    await pending.commit()
    values, _ = await member.read(2)
    assert values == [b"first", b"second"]


async def test_positions_jump_over_control_records_and_aborted_ones(side: Side, members: Members) -> None:
    member = await members.reading()
    for ended in ("commit", "abort"):
        pending = await side.begin([into_input(member.output(ended.encode()))], {}, member.membership)
        await getattr(pending, ended)()
    place = await side.append("in", b"anna", b"last")
    values, positions = await member.read(2)
    assert values == [b"commit", b"last"]
    assert positions[place] == 5  # commit, its control record, abort, its control record, last
    pending = await side.begin([into_input(member.output(b"gone"))], {}, member.membership)
    await pending.abort()
    assert (await member.position_reaches(place, 7))[place] == 7


async def test_a_partition_keeps_its_order_and_a_poll_its_bound(side: Side, members: Members) -> None:
    member = await members.reading()
    *_, place = [await side.append("in", b"anna", str(each).encode()) for each in range(6)]
    polled = await member.consumer.poll(member.membership, 5, 4)
    assert 0 < len(polled.records) <= 4
    assert polled.positions[place] == len(polled.records)
    rest, positions = await member.read(6 - len(polled.records))
    assert [*(record.value for record in polled.records), *rest] == [str(each).encode() for each in range(6)]
    assert positions[place] == 6


async def test_a_paused_member_is_given_nothing_until_it_says_where_to_go_on(side: Side, members: Members) -> None:
    member = await members.join()
    place = await side.append("in", b"anna", b"0")
    await side.append("in", b"anna", b"1")
    assert (await member.consumer.poll(member.membership, 0.5, 100)).records == []
    member.consumer.resume_at(member.membership, BEGINNINGS | {place: 1})
    assert (await member.read(1))[0] == [b"1"]
    member.consumer.pause(member.membership)
    await side.append("in", b"anna", b"2")
    assert (await member.consumer.poll(member.membership, 0.5, 100)).records == []
    member.consumer.resume_at(member.membership, BEGINNINGS)
    assert (await member.read(3))[0] == [b"0", b"1", b"2"]


async def test_a_poll_after_a_new_assignment_is_refused_and_both_share_the_partitions(members: Members) -> None:
    first = await members.reading("1")
    second = await members.join("2")
    with pytest.raises(FencedByGroup):
        await polling(first)
    assert not first.consumer.holds(first.membership)
    anew = await members.assigned(first.consumer)
    with pytest.raises(FencedByGroup):
        first.consumer.resume_at(first.membership, BEGINNINGS)
    assert anew.generation > first.membership.generation
    second.membership = await members.assigned(second.consumer)
    assert anew.partitions | second.membership.partitions == PLACES
    assert not anew.partitions & second.membership.partitions
    with pytest.raises(FencedByGroup, match="refused the commit"):
        await first.producer.publish([first.output(b"1")], BEGINNINGS, first.membership)


async def test_beginnings_move_when_the_topic_forgets(side: Side, members: Members) -> None:
    member = await members.join()
    *_, place = [await side.append("in", b"anna", b"old") for _ in range(3)]
    await side.forget(place, 2)
    assert (await member.consumer.beginnings([place])) == {place: 2}


async def test_a_key_has_the_same_partition_wherever_it_is_sent_from(side: Side, members: Members) -> None:
    member = await members.join()
    sent_to = {b"greta": 0, b"anna": 1, b"customer-17": 1, b"ida": 2, "größe".encode(): 2, b"9f8c": 2, b"four": 2}
    await publish(member.producer, [member.output(key, key) for key in sent_to])
    assert {value: place.partition for place, value in await side.visible("out")} == sent_to
    for key, partition in sent_to.items():
        assert (await side.append("in", key, key)).partition == partition


async def test_the_last_value_is_the_newest_committed_one(side: Side, members: Members) -> None:
    member = await members.join()
    key = b"greta"  # of partition 0
    assert await side.edge.last_value("out") is None
    place = await side.append("out", key, b"first")
    assert place.partition == 0
    pending = await side.begin([member.output(b"aborted", key)], {}, member.membership)
    await pending.abort()
    assert await side.edge.last_value("out") == b"first"


async def publish(producer: Any, *what: Any) -> None:
    """Publish, again where a busy cluster times the transaction out."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await producer.publish(*what)
            except PublishFailed:
                await producer.replace()
            else:
                return


async def polling(member: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await member.consumer.poll(member.membership, 0.1, 100)


def into_input(output: Output) -> Output:
    return output._replace(out_topic="in")
