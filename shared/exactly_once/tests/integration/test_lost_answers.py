"""An answer of Kafka is lost, or a request is late: what arrives later ends no other transaction than its own."""

import asyncio

import pytest
from shared.exactly_once.tests.faults.scenes import inputs
from shared.exactly_once.tests.integration.member import Member, a_member
from shared.exactly_once.tests.integration.stage import DEADLINE_S, Stage, named, republished, rows
from shared.exactly_once.tests.integration.wire import (
    ADD_OFFSETS_TO_TXN,
    ADD_PARTITIONS_TO_TXN,
    END_TXN,
    FIND_COORDINATOR,
    PRODUCE,
    TXN_OFFSET_COMMIT,
    Incident,
    Wire,
)

from exactly_once.batch import Output, Partition
from exactly_once.errors import PublishFailed
from exactly_once.kafka import doubt

pytestmark = pytest.mark.integration

OF_A_TRANSACTION = {
    "Produce": PRODUCE,
    "AddPartitionsToTxn": ADD_PARTITIONS_TO_TXN,
    "AddOffsetsToTxn": ADD_OFFSETS_TO_TXN,
    "TxnOffsetCommit": TXN_OFFSET_COMMIT,
    "EndTxn": END_TXN,
}
REFUSED = {INVALID_PRODUCER_EPOCH := 47, PRODUCER_FENCED := 90}


def output(key: bytes) -> Output:
    return Output(Partition("added", 0), 0, "totalled", key, b"value", ())


async def publish(member: Member, *keys: bytes, at: int = 0) -> None:
    """Publish outputs with these keys, and the position `at` in every partition."""
    positions = dict.fromkeys(member.membership.partitions, at)
    await member.producer.publish([output(key) for key in keys], positions, member.membership)


async def happened(incident: Incident) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await incident.happened.wait()


async def seen(stage: Stage, keys: list[bytes]) -> None:
    """Wait until so much is visible: a transaction that has been ended becomes visible a little later."""
    async with asyncio.timeout(DEADLINE_S):
        while len(await asyncio.to_thread(stage.keys)) < len(keys):
            continue
    assert stage.keys() == keys


async def half_done(member: Member, wire: Wire, *keys: bytes) -> asyncio.Task[None]:
    """Begin a transaction, and have its outputs on the brokers when its offsets are stuck on their way."""
    stuck = wire.hold(TXN_OFFSET_COMMIT)
    publishing = asyncio.create_task(publish(member, *keys, at=1))
    await happened(stuck)
    return publishing


async def test_a_commit_that_comes_late_ends_no_later_transaction(stage: Stage, wire: Wire) -> None:
    async with a_member(stage) as member:
        await member.producer.replace()
        late = wire.hold(END_TXN)
        with pytest.raises(PublishFailed, match="EndTxnRequest to broker"):
            await publish(member, b"first")
        await member.producer.replace()
        publishing = await half_done(member, wire, b"second", b"third")
        assert (await late.release()).error_code in REFUSED
        assert stage.keys() == []
        with pytest.raises(PublishFailed, match="TxnOffsetCommit to broker"):
            await publishing
        await member.producer.replace()
        await publish(member, b"second", b"third", at=1)
        await seen(stage, [b"second", b"third"])
        assert stage.committed() == {0: 1, 1: 1}


async def test_without_the_doubt_a_late_commit_ends_a_later_transaction_half_done(
    stage: Stage, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubt, "OF_A_TRANSACTION", set())
    async with a_member(stage) as member:
        await member.producer.replace()
        late = wire.hold(END_TXN)
        await publish(member, b"first")  # a repetition of the request was answered
        publishing = await half_done(member, wire, b"second", b"third")
        assert (await late.release()).error_code == 0
        await seen(stage, [b"first", b"second", b"third"])
        assert stage.committed() == {0: 0, 1: 0}  # its outputs are out, its offsets are not
        publishing.cancel()
        await asyncio.wait({publishing})


@pytest.mark.parametrize("api", OF_A_TRANSACTION)
async def test_whatever_is_lost_late_or_cut_each_input_counts_once_before_and_after_it_arrives(
    stage: Stage, wire: Wire, api: str
) -> None:
    first, second, third, last = (inputs(12, seed=each) for each in range(4))
    async with stage.running():
        await stage.put(*named("first", first))
        await stage.at_rest()
        for incident, more in ((wire.lose, second), (wire.cut, third)):
            befallen = incident(OF_A_TRANSACTION[api])
            await stage.put(*named(incident.__name__, more))
            await happened(befallen)
        late = wire.hold(OF_A_TRANSACTION[api])
        await stage.put(*named("last", last))
        await happened(late)
        await stage.at_rest()
        assert await stage.verdict() == []
        await late.release()
        await stage.put(*rows(["behind it"]))
        await stage.at_rest()
        assert await stage.verdict() == []


async def test_a_commit_that_lands_before_its_successor_is_noticed_and_published_once(stage: Stage, wire: Wire) -> None:
    await stage.put(*rows(["1", "2", "3"]))
    async with a_member(stage) as member:
        ownership = await member.recover()
        outputs, batch = await member.decide(ownership, 3)
        late = wire.hold(END_TXN)
        with pytest.raises(PublishFailed, match="stays unanswered"):
            await member.producer.publish(outputs, batch.end, member.membership)
        assert stage.keys() == []
        assert (await late.release()).error_code == 0
        published = republished()
        assert (await member.recover()).positions == ownership.positions | batch.end
        assert republished() == published
    assert await stage.verdict() == []


async def test_a_commit_that_lands_behind_its_successor_is_refused_and_recovery_publishes_in_its_place(
    stage: Stage, wire: Wire
) -> None:
    await stage.put(*rows(["1", "2", "3"]))
    async with a_member(stage) as member:
        ownership = await member.recover()
        outputs, batch = await member.decide(ownership, 3)
        late = wire.hold(END_TXN)
        with pytest.raises(PublishFailed, match="stays unanswered"):
            await member.producer.publish(outputs, batch.end, member.membership)
        published = republished()
        await member.recover()
        assert republished() == published + 3
        assert (await late.release()).error_code in REFUSED
    assert await stage.verdict() == []


async def test_a_request_outside_of_transactions_may_be_asked_again(stage: Stage, wire: Wire) -> None:
    async with a_member(stage) as member:
        await member.producer.replace()
        lost = wire.lose(FIND_COORDINATOR)  # the producer asks for the group's as it commits offsets
        await publish(member, b"first")
        assert lost.happened.is_set()
    assert stage.keys() == [b"first"]
