"""What `up` and `down` do to a supervisor: start it and wait, end it and see that nothing is left."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from waybill.brokers import COPIES, replicas
from waybill.errors import UsageError
from waybill.local import ending, logfile, premises, state
from waybill.local.layout import LOG_NAME, Options
from waybill.local.premises import ROOM_NEEDED
from waybill.output import progress

LOOK_EVERY_S = 0.2

REAPED_WITHIN_S = 5.0  # what has ended: the last of its threads may take a moment

_supervisors: dict[Path, subprocess.Popen[bytes]] = {}  # they outlive this process on purpose


def bring_up(options: Options, room_needed: int = ROOM_NEEDED) -> state.State:
    """Start a stack and return when all is healthy. UsageError says what is in the way; nothing is left then."""
    home = options.home
    running = state.read(home)
    if running is not None and running.is_running:
        raise UsageError(
            f"the stack in {home} is {running.phase} already: see `waybill status`, end it with `waybill down`"
        )
    premises.check(options, room_needed)
    ending.reap(home)
    options.check_ports()
    premises.prepare(options)
    if options.brokers < COPIES:
        copies, in_sync = replicas(options.brokers)
        progress(
            f"{options.brokers} broker(s): {copies} copies of a record, {in_sync} in sync; a lost broker stops writes"
        )
    supervisor = _supervise(home)
    try:
        return _wait_until_up(home, supervisor)
    except BaseException:
        if supervisor.poll() is None:
            progress("taking down what has started")
            supervisor.terminate()
            supervisor.wait()
        raise


def take_down(home: Path) -> bool:
    """End the stack of a home and whatever it left behind. False: nothing ran."""
    ran = ending.take_down(home)
    if (ended := _supervisors.pop(home, None)) is not None:
        with suppress(subprocess.TimeoutExpired):
            ended.wait(REAPED_WITHIN_S)
    return ran


def _supervise(home: Path) -> subprocess.Popen[bytes]:
    with logfile.open_to_append(home / "logs" / LOG_NAME) as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "waybill.local.supervisor", str(home)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home,
        )  # fmt: skip
    _supervisors[home] = started
    return started


def _wait_until_up(home: Path, supervisor: subprocess.Popen[bytes]) -> state.State:
    said = ""
    while True:
        now = state.read(home)
        if now is not None and now.message != said and now.phase != "failed":
            said = now.message
            progress(said)
        if now is not None and now.phase == "up":
            return now
        if supervisor.poll() is not None:
            now = state.read(home)
            raise UsageError(
                now.message if now and now.message else f"the supervisor ended; see {home}/logs/{LOG_NAME}"
            )
        time.sleep(LOOK_EVERY_S)
