"""What the supervisor writes and every other command reads: which process runs, how it is, and why not."""

import fcntl
import os
from pathlib import Path
from typing import IO, Literal

import psutil
from pydantic import BaseModel, ValidationError

from waybill import secrets
from waybill.errors import UsageError
from waybill.parts import Condition

STATE_FILE = "state.json"
LOCK_FILE = "lock"
STOPPED_FOLDER = "stopped"

Phase = Literal["starting", "up", "stopping", "failed", "down"]


class ProcessState(BaseModel, frozen=True):
    """One process as the supervisor sees it."""

    name: str
    state: Condition
    port: int
    why: str | None = None
    pid: int | None = None
    started_at: float | None = None


class State(BaseModel, frozen=True):
    """The stack as the supervisor sees it."""

    phase: Phase
    message: str = ""
    pid: int
    pid_started_at: float
    processes: list[ProcessState] = []

    @property
    def healthy(self) -> bool:
        """Tell whether everything that should run is healthy."""
        return self.phase == "up" and all(each.state in {"healthy", "stopped"} for each in self.processes)

    @property
    def is_running(self) -> bool:
        """Tell whether the supervisor that wrote this lives."""
        return is_alive(self.pid, self.pid_started_at)


def read(home: Path) -> State | None:
    """Return the last state, None where no stack was ever started. UsageError: it can't be read."""
    try:
        return State.model_validate_json((home / STATE_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise UsageError(f"{home / STATE_FILE} can't be read: is it another's? ({type(error).__name__})") from error


def write(home: Path, state: State) -> None:
    """Write the state; readers see the old or the new one, whole."""
    secrets.write(home / STATE_FILE, state.model_dump_json(indent=1))


def locked(home: Path) -> IO[str] | None:
    """Return the held lock of a home, None where another supervisor has it."""
    file = (home / LOCK_FILE).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    os.set_inheritable(file.fileno(), False)  # noqa: FBT003  # the standard library's own signature
    return file


def stopped_marker(home: Path, name: str) -> Path:
    """Return the file whose presence means: this one was stopped by name, leave it down."""
    return home / STOPPED_FOLDER / name


def is_alive(pid: int, started_at: float) -> bool:
    """Tell whether the process with this pid is the one that was started then."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started_at) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
