"""How long a worker waits."""

import asyncio
import time

import pytest

from exactly_once.pace import REST_PER_COST, Backoff, Pace


async def test_hours_of_failures_do_not_overflow_the_backoff() -> None:
    backoff = Backoff()
    backoff.failures = 5_000
    over = asyncio.Event()
    over.set()
    await backoff.wait(over)
    assert backoff.failures == 5_001


@pytest.mark.parametrize(
    ("costs_ms", "rest_ms"),
    [
        ([20], 80),
        ([10, 20], 80),
        ([10, 10, 60], 40),
        ([10, 60, 10], 40),
        ([10, 60, 60], 240),
        ([60, 60, 60, 10], 240),
        ([60, 60, 60, 10, 10], 40),
        ([200, 200], 600),
    ],
)
def test_one_transaction_that_was_slow_among_others_tells_little_of_the_next(
    monkeypatch: pytest.MonkeyPatch, costs_ms: list[int], rest_ms: int
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    paced = Pace()
    for cost_ms in costs_ms:
        paced.spent("publish", cost_ms / 1_000)
    assert paced.rest_s == pytest.approx(rest_ms / 1_000)


def test_each_kind_of_transaction_has_a_cost_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    paced = Pace()
    for step, cost_s in (("decide", 0.001), ("publish", 0.02), ("decide", 0.001), ("publish", 0.02)):
        paced.spent(step, cost_s)
    assert paced.rest_s == pytest.approx(REST_PER_COST * 0.02)
