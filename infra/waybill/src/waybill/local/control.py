"""What `up` and `down` do to a supervisor: start it and wait, end it and see that nothing is left."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from waybill import secrets
from waybill.errors import UsageError
from waybill.local import ending, state
from waybill.local.layout import OPTIONS_FILE, Options
from waybill.output import progress

LOOK_EVERY_S = 0.2
ROOM_NEEDED = 2 * 1024**3

_supervisors: list[
    subprocess.Popen[bytes]
] = []  # they outlive this process on purpose; kept so that nobody warns of it


def bring_up(options: Options) -> state.State:
    """Start a stack and return when all is healthy. UsageError says what is in the way; nothing is left then."""
    home = options.home
    _check_home(options)
    running = state.read(home)
    if running is not None and running.is_running:
        raise UsageError(
            f"the stack in {home} is {running.phase} already: see `waybill status`, end it with `waybill down`"
        )
    ending.reap(home)
    options.check_ports()
    secrets.write(home / OPTIONS_FILE, options.model_dump_json(indent=1))
    (home / state.STATE_FILE).unlink(missing_ok=True)
    shutil.rmtree(home / state.STOPPED_FOLDER, ignore_errors=True)
    (home / state.STOPPED_FOLDER).mkdir(mode=0o700)
    supervisor = _supervise(home)
    try:
        return _wait_until_up(home, supervisor)
    except BaseException:
        progress("taking down what has started")
        supervisor.terminate()
        supervisor.wait()
        raise


def take_down(home: Path) -> bool:
    """End the stack of a home and whatever it left behind. False: nothing ran."""
    ran = ending.take_down(home)
    for ended in _supervisors:
        ended.poll()
    return ran


def _check_home(options: Options) -> None:
    try:
        for folder in (options.home, options.home / "logs", options.cache):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = options.home / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{error.filename or options.home} can't be written: {error.strerror}") from error
    for folder in (options.home, options.cache):
        if (free := shutil.disk_usage(folder).free) < ROOM_NEEDED:
            raise UsageError(f"{folder} has {free >> 20} MiB of room, a stack needs {ROOM_NEEDED >> 20}")


def _supervise(home: Path) -> subprocess.Popen[bytes]:
    with (home / "logs" / "supervisor.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "waybill.local.supervisor", str(home)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home,
        )  # fmt: skip
    _supervisors.append(started)
    return started


def _wait_until_up(home: Path, supervisor: subprocess.Popen[bytes]) -> state.State:
    said = ""
    while True:
        now = state.read(home)
        if now is not None and now.message != said:
            said = now.message
            progress(said)
        if now is not None and now.phase == "up":
            return now
        if supervisor.poll() is not None:
            now = state.read(home)
            raise UsageError(
                now.message if now and now.message else f"the supervisor ended; see {home}/logs/supervisor.log"
            )
        time.sleep(LOOK_EVERY_S)
