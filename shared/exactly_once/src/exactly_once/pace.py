"""When to commit next: at once after a pause, evenly under load, each some times as long after the last as it takes."""

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from functools import partial
from itertools import islice
from statistics import median_low
from typing import TypeVar

REST_PER_COST = 3.5  # a Kafka transaction costs the brokers the same whatever is in it: rest so many times as long
LONGEST_REST_S = 0.6
FEW, ENOUGH = 3, 10  # records: fewer than ENOUGH are not worth a whole rest, which each of the next would wait for
REMEMBERED = 3  # what one took tells of that moment, not of the brokers

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
MOST_DOUBLINGS = 16  # 2.0**1024 overflows: an hour of failures would end the worker
ATTEMPTS_AT_A_BUG = 3
STRETCH_S = 0.0005  # requests that this process serves usually wait no longer for its batches
AT_FIRST = 10  # records at a stretch, before anything is known of how long they take
AT_MOST = 25  # even if those before were quick: the next ones may not be
SHORTEST_S = 1e-9
LEAST = 50  # records: what is too slow for so few is no matter of their number
T = TypeVar("T")


async def stretches(steps: Iterable[T]) -> AsyncIterator[list[T]]:
    """Yield a few at a time of what takes a moment each; who else has something to do in this loop comes in between.

    As many as the last few let expect to take STRETCH_S.
    """
    rest, most = iter(steps), AT_FIRST
    while few := list(islice(rest, most)):
        began = time.perf_counter()
        yield few
        if len(few) == most:
            took_s = max(time.perf_counter() - began, SHORTEST_S)
            most = max(1, min(AT_MOST, int(most * STRETCH_S / took_s)))
            await asyncio.sleep(0)


class Pace:
    """Spaces transactions evenly, by what they usually take: the median of the last three."""

    def __init__(self) -> None:
        self._next = 0.0
        self._took_s: defaultdict[str, deque[float]] = defaultdict(partial(deque[float], maxlen=REMEMBERED))

    @property
    def rest_s(self) -> float:
        """How long to wait before the next transaction, in seconds; 0 when idle."""
        return max(0.0, self._next - time.monotonic())

    def spent(self, step: str, cost_s: float, records: int) -> None:
        """Note what a step took for so many records. The rest goes by what it usually takes, less what it took longer.

        So transactions begin evenly, and a record that comes at a bad moment waits no longer than any other. Behind
        fewer than ENOUGH records the rest is shorter in proportion. It is never shorter than what the step usually
        takes, unless that is the longest.
        """
        took_s = self._took_s[step]
        took_s.append(cost_s)
        usual_s = median_low(took_s)
        share = min(max(records, FEW), ENOUGH) / ENOUGH
        rest_s = min(REST_PER_COST * share * usual_s, LONGEST_REST_S)
        late_s = max(0.0, cost_s - usual_s)
        self._next = time.monotonic() + max(rest_s - late_s, min(usual_s, rest_s))


class Portion:
    """How many records a batch has at most: half of those that failed, then twice as many after each success.

    A database that is too slow for a full batch would be asked for the same one for ever.
    """

    def __init__(self, most: int) -> None:
        """Begin with as many as there may ever be."""
        self._most = self.records = most

    def failed(self, records: int) -> None:
        """Note that so many could not be decided."""
        self.records = max(min(LEAST, self._most), records // 2)

    def decided(self) -> None:
        """Note a success."""
        self.records = min(self._most, 2 * self.records)


class Backoff:
    """Waits longer after each failure in a row, with jitter."""

    def __init__(self) -> None:
        self.failures = 0

    def reset(self) -> None:
        """Note a success."""
        self.failures = 0

    async def wait(self, until: asyncio.Event | None = None) -> None:
        """Wait; end early when `until` is set."""
        doublings = min(self.failures, MOST_DOUBLINGS)
        longest = min(FIRST_BACKOFF_S * 2.0**doublings, LONGEST_BACKOFF_S)
        self.failures += 1
        delay = random.uniform(longest / 2, longest)  # noqa: S311  # jitter needs no secrecy
        try:
            async with asyncio.timeout(delay):
                await (until or asyncio.Event()).wait()
        except TimeoutError:
            return
