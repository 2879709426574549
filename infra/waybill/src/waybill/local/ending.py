"""Ends a stack, and sees that nothing of it is left."""

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil

from waybill.local import state

LOOK_EVERY_S = 0.2
DOWN_DEADLINE_S = 60.0


def take_down(home: Path) -> bool:
    """End the stack of a home and whatever it left behind. False: nothing ran."""
    running = state.read(home)
    if running is None or not running.is_running:
        return reap(home) > 0
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_DEADLINE_S
    while state.is_alive(running.pid, running.pid_started_at):
        if time.monotonic() > deadline:
            os.kill(running.pid, signal.SIGKILL)
        time.sleep(LOOK_EVERY_S)
    reap(home)
    return True


def reap(home: Path) -> int:
    """Kill the processes that a killed supervisor left, and only those: by pid and start time. Returns how many."""
    left = state.read(home)
    processes = left.processes if left is not None and not left.is_running else []
    killed = 0
    for each in processes:
        if each.pid and each.started_at and state.is_alive(each.pid, each.started_at):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(each.pid).kill()
                killed += 1
    return killed
