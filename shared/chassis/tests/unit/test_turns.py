import asyncio
from types import SimpleNamespace

import pytest

from chassis import turns
from chassis.turns import A_FEW, MOST_WAITING, QUEUE_S, STALL_S, Turns


class Clock:
    """Shows the time that it is told."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


async def line(queue: Turns, length: int) -> list[asyncio.Task[None]]:
    """Have so many wait, behind those who do."""
    waiting = [asyncio.create_task(queue.take()) for _ in range(length)]
    await asyncio.sleep(0)
    return waiting


async def serve(queue: Turns, clock: Clock, times: int, each_s: float) -> None:
    for _ in range(times):
        clock.now_s += each_s
        queue.give_back()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.mark.parametrize(("each_s", "is_long"), [(QUEUE_S / A_FEW / 2, False), (QUEUE_S / A_FEW * 2, True)])
async def test_a_few_may_wait_as_long_as_they_are_served_fast(clock: Clock, each_s: float, *, is_long: bool) -> None:
    queue = Turns(1)
    waiting = await line(queue, 50 + A_FEW)
    await serve(queue, clock, 49, each_s)
    assert queue.waiting == A_FEW
    assert queue.is_long == is_long
    await serve(queue, clock, 1, each_s)
    assert not queue.is_long
    await serve(queue, clock, A_FEW, each_s)
    await asyncio.gather(*waiting)


async def test_a_stumble_refuses_nobody_and_a_stall_does(clock: Clock) -> None:
    queue = Turns(1)
    waiting = await line(queue, 50 + A_FEW)
    await serve(queue, clock, 48, QUEUE_S / A_FEW / 3)
    await serve(queue, clock, 1, STALL_S * 3)
    assert queue.waiting == A_FEW
    assert not queue.is_long
    clock.now_s += STALL_S * 1.1
    assert queue.is_long
    await serve(queue, clock, A_FEW + 1, 0)
    assert not queue.is_long
    await asyncio.gather(*waiting)


async def test_a_crowd_is_too_long_however_fast_it_is_served(clock: Clock) -> None:
    queue = Turns(1)
    waiting = await line(queue, MOST_WAITING + 1)
    assert queue.is_long
    await serve(queue, clock, 1, 0)
    assert not queue.is_long
    await serve(queue, clock, MOST_WAITING, 0)
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("when", ["before it is given", "as it is given"])
async def test_whoever_gives_up_leaves_the_turn_to_the_next(clock: Clock, when: str) -> None:
    queue = Turns(1)
    first, second, third = await line(queue, 3)
    await first
    if when == "as it is given":
        queue.give_back()
        second.cancel()
    else:
        second.cancel()
        await asyncio.sleep(0)
        queue.give_back()
    await third
    assert (queue.waiting, second.cancelled()) == (0, True)
