"""How long a worker waits."""

import asyncio
import random
import time
from collections.abc import Iterable

import pytest

from exactly_once import pace
from exactly_once.pace import Backoff, Pace, Portion, stretches

RESTED_S = pace.REST_PER_COST * 0.02


def rest_after(*spent: tuple[str, float], records: int = pace.ENOUGH) -> float:
    paced = Pace()
    for step, cost_s in spent:
        paced.spent(step, cost_s, records)
    return paced.rest_s


def costing(costs: Iterable[float]) -> list[tuple[str, float]]:
    return [("publish", cost_s) for cost_s in costs]


@pytest.mark.parametrize(
    "spent",
    [
        costing([0.02]),
        costing([0.4, 0.02]),
        costing([0.02, 0.1, 0.02]),
        costing([0.1, 0.1, 0.1, 0.001, 0.03, 0.02]),
        [*costing([0.02]), ("decide", 0.1), ("decide", 0.1), *costing([0.02])],
        [*costing([0.1]), ("decide", 0.02)],
    ],
    ids=["the first", "a dear first one", "one between", "long ago", "another step", "the last step counts"],
)
def test_a_worker_rests_by_what_its_last_step_usually_takes(spent: list[tuple[str, float]]) -> None:
    assert rest_after(*spent) == pytest.approx(RESTED_S, abs=0.005)


@pytest.mark.parametrize(
    ("costs", "rest_s"),
    [
        ([0.02, 0.02, 0.05], RESTED_S - 0.03),
        ([0.02, 0.02, 2.0], 0.02),
        ([0.5, 0.5, 0.52], pace.LONGEST_REST_S - 0.02),
        ([0.5, 0.5, 0.9], 0.5),
        ([2.0, 2.0, 3.0], pace.LONGEST_REST_S),
        ([10.0, 10.0], pace.LONGEST_REST_S),
    ],
)
def test_what_took_longer_than_usual_is_rested_so_much_shorter_within_bounds(costs: list[float], rest_s: float) -> None:
    assert rest_after(*costing(costs)) == pytest.approx(rest_s, abs=0.005)


@pytest.mark.parametrize("costs", [[0.1, 0.02, 0.1], [0.02, 0.02, 0.1, 0.1], [0.1, 0.1, 0.02]])
def test_the_last_three_tell_what_is_usual(costs: list[float]) -> None:
    assert rest_after(*costing(costs)) == pytest.approx(pace.REST_PER_COST * 0.1, abs=0.01)


@pytest.mark.parametrize(("records", "share"), [(0, 0.3), (1, 0.3), (3, 0.3), (5, 0.5), (10, 1.0), (2_000, 1.0)])
def test_behind_few_records_the_rest_is_shorter(records: int, share: float) -> None:
    full_s = pace.REST_PER_COST * 0.1
    assert rest_after(("publish", 0.1), records=records) == pytest.approx(full_s * share, abs=0.01)


def test_behind_few_records_the_rest_is_no_shorter_than_what_was_done() -> None:
    costs = costing([0.1, 0.1, 0.13])
    assert rest_after(*costs, records=1) == pytest.approx(0.1, abs=0.005)


def test_who_has_done_nothing_yet_does_not_rest() -> None:
    assert Pace().rest_s == 0.0


async def test_hours_of_failures_do_not_overflow_the_backoff() -> None:
    backoff = Backoff()
    backoff.failures = 5_000
    over = asyncio.Event()
    over.set()
    await backoff.wait(over)
    assert backoff.failures == 5_001


async def test_a_backoff_doubles_from_a_tenth_of_a_second_to_five_and_starts_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounds: list[tuple[float, float]] = []

    def at_once(low: float, high: float) -> float:
        bounds.append((low, high))
        return 0.0

    monkeypatch.setattr(random, "uniform", at_once)
    backoff = Backoff()
    for _ in range(8):
        await backoff.wait()
    backoff.reset()
    await backoff.wait()
    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1]
    assert bounds == [(each / 2, each) for each in longest]


async def test_a_backoff_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda *_: 0.05)
    started = time.monotonic()
    await Backoff().wait(asyncio.Event())
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize("steps", [0, 1, pace.AT_FIRST, 200])
async def test_what_comes_in_stretches_is_whole_and_others_have_their_turns(steps: int) -> None:
    turns = 0

    async def neighbour() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    came = [few async for few in stretches(range(steps))]
    task.cancel()
    assert [each for few in came for each in few] == list(range(steps))
    assert turns >= steps // pace.AT_MOST
    assert turns or steps < pace.AT_FIRST


@pytest.mark.parametrize(("each_s", "most"), [(0.0, pace.AT_MOST), (0.00009, 5), (0.01, 1)])
async def test_as_many_come_at_a_stretch_as_half_a_millisecond_is_enough_for(
    monkeypatch: pytest.MonkeyPatch, each_s: float, most: int
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    came = list[int]()
    async for few in stretches(range(200)):
        came.append(len(few))
        now += each_s * len(few)
    assert came[0] == pace.AT_FIRST
    assert set(came[1:-1]) == {most}


def test_a_portion_is_half_of_what_failed_and_doubles_until_it_is_whole_again() -> None:
    portion, found = Portion(2_000), list[int]()
    for records in (2_000, 1_000, 120, 3):
        portion.failed(records)
        found.append(portion.records)
    assert found == [1_000, 500, 60, 50]
    for _ in range(7):
        portion.decided()
        found.append(portion.records)
    assert found[4:] == [100, 200, 400, 800, 1_600, 2_000, 2_000]


def test_a_portion_is_never_less_than_it_may_ever_be_where_that_is_little() -> None:
    portion = Portion(10)
    portion.failed(10)
    assert portion.records == 10
