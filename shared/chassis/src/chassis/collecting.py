"""Tells the garbage collector what a service is like: much lives as long as the process, the rest for one batch."""

import gc

YOUNG_OBJECTS = 100_000  # a batch makes tens of thousands: at Python's 700 it is walked again and again while it lives
OLDER_EVERY = 5  # times, where Python's is 10: what has grown older in a cycle waits long enough


def settle() -> None:
    """Leave what exists now out of every later collection: call it once, when a process is ready to work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, OLDER_EVERY, OLDER_EVERY)
