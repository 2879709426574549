"""A queue in which nobody is overtaken, and which knows whether one more would wait for too long."""

import asyncio
import time

MOST_WAITING = 200
A_FEW = 10  # may wait in any case
QUEUE_S = 0.04  # that one more may expect to wait, at the pace at which others were served of late
STALL_S = 0.75  # in which nobody is served, for nobody knows how long: a disk that flushes takes less
STUMBLE_S = 0.02  # a longer gap counts as this: one tells little of the pace
OF_LATE = 0.1  # the weight of the last wait in their average


class Turns:
    """So many may have a turn at once; the others wait, first come, first served."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._each_s, self._served_at = 0.0, 0.0  # how far apart they are served; when one was, or began to wait
        self.waiting = 0

    @property
    def is_long(self) -> bool:
        """Tell whether one more had better not wait. A burst may; where a queue stands, every answer is late.

        What the first in it has waited for says nothing: where a queue stands, each is served in time, and each late.
        """
        if self.waiting >= MOST_WAITING:
            return True
        expected_s, stalled_s = self.waiting * self._each_s, time.monotonic() - self._served_at
        return self.waiting >= A_FEW and (expected_s > QUEUE_S or stalled_s > STALL_S)

    @property
    def are_free(self) -> bool:
        """Tell whether a turn could be taken at once."""
        return not self._free.locked()

    async def take(self) -> None:
        """Wait for a turn; whoever takes one gives it back."""
        if not self.waiting:
            self._served_at = time.monotonic()
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        now = time.monotonic()
        self._each_s += (min(now - self._served_at, STUMBLE_S) - self._each_s) * OF_LATE
        self._served_at = now

    def give_back(self) -> None:
        """End a turn."""
        self._free.release()
