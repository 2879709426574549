"""A process dies at every point of the protocol, and its successor makes each input count once."""

import asyncio
import os
from collections.abc import Iterable

import pytest
from shared.exactly_once.tests.faults.kinds import KINDS, STATELESS, UNREACHED, Death, deaths, died, excused, slices
from shared.exactly_once.tests.faults.lab import DECIDED, ONE_AHEAD, READ_AHEAD
from shared.exactly_once.tests.faults.points import every_point
from shared.exactly_once.tests.faults.scenes import Lab

AT_ONCE = int(os.environ.get("FAULTS_AT_ONCE", "8"))

SAMPLE = [
    Death("afresh", "decide.Decider._transact:transaction:exit:before", 2),
    Death("afresh", "decide.Decider._transact:transaction:exit:after", 2),
    Death("afresh", DECIDED, 2),
    Death("afresh", "publishing._moving_to:publication:before", 2),
    Death("afresh", "kafka.producer.TransactionalProducer._transact:producer.commit_as:after", 2),
    Death("afresh", "kafka.producer.TransactionalProducer._transact:producer.commit_transaction:after", 2),
    Death("behind", "recovery.Recovery._bump:transaction:exit:before", 1),
    Death("behind", "recovery.Recovery.recover:self.producer.publish:after", 1),
    Death("labelled", "relay.Relay._take_over:self._publish:after", 1),
    Death("afresh", "relay.Relay._relay:self._publish:after", 2),
    Death(STATELESS, "stateless.Stateless.recover:self.producer.replace:after", 1),
    Death(STATELESS, "kafka.producer.TransactionalProducer._transact:producer.commit_as:after", 2),
    Death(STATELESS, "loop.Loop._publish:self._producer.publish:after", 2),
]


async def wrong_after(lab: Lab, planned: Iterable[Death]) -> dict[Death, list[str]]:
    """Return what went wrong, by the death."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(death: Death) -> list[str]:
        async with free:
            try:
                return await died(lab, death)
            except Exception as error:  # noqa: BLE001  # the other deaths are worth seeing too
                return [f"it could not be seen: {error!r}"]

    planned = list(planned)
    found = await asyncio.gather(*(one(death) for death in planned))
    return {death: wrong for death, wrong in zip(planned, found, strict=True) if wrong}


def test_every_exclusion_names_an_await_that_exists() -> None:
    points = every_point()
    known = set(points) | {point.rsplit(":", 1)[0] for point in points}
    assert UNREACHED.keys() <= known
    assert set(filter(None, KINDS.values())) <= known
    assert {death.point for death in SAMPLE} <= known


@pytest.mark.integration
async def test_every_await_of_the_protocol_is_a_crash_point_that_is_reached_or_excluded_with_a_reason(
    passed: dict[str, set[str]],
) -> None:
    reached = set().union(*passed.values())
    assert [point for point in every_point() if point not in reached and not excused(point)] == []


@pytest.mark.integration
async def test_these_processes_read_one_batch_and_decide_one_while_others_are_under_way(
    passed: dict[str, set[str]],
) -> None:
    assert {ONE_AHEAD, READ_AHEAD} <= passed["afresh"] & passed[STATELESS]


@pytest.mark.integration
async def test_after_a_death_at_a_point_of_each_kind_every_input_counts_once(lab: Lab) -> None:
    assert await wrong_after(lab, SAMPLE) == {}


@pytest.mark.nightly
@pytest.mark.integration
@pytest.mark.parametrize("points", list(slices()), ids=lambda points: points[0])
async def test_after_a_death_at_any_point_every_input_counts_once(
    lab: Lab, passed: dict[str, set[str]], points: tuple[str, ...]
) -> None:
    planned = deaths(passed, points)
    assert list(dict.fromkeys(death.point for death in planned)) == list(points)
    assert await wrong_after(lab, planned) == {}
