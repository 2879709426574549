"""`waybill down`, `logs`, `stop`, `start`: what is done to a stack that runs."""

import collections
import os
import time
from typing import Annotated

import typer

from waybill.errors import UsageError
from waybill.home import home_folder
from waybill.local import state
from waybill.local.ending import take_down
from waybill.local.status import Json
from waybill.output import emit, progress

LOOK_EVERY_S = 0.3


def down(*, as_json: Json = False) -> None:
    """Take the stack down; its data stays. Nothing to take down is no error."""
    ran = take_down(home_folder())
    emit({"was_running": ran}, lambda: print("down" if ran else "nothing was running"), as_json=as_json)


def logs(
    name: Annotated[str, typer.Argument(help="Which process: see `waybill status`; or supervisor.")],
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
) -> None:
    """Print the end of a process's log."""
    path = home_folder() / "logs" / f"{name}.log"
    if not path.exists():
        known = sorted(each.stem for each in path.parent.glob("*.log"))
        raise UsageError(f"there is no log of {name}; there are {', '.join(known) or 'none'}")
    with path.open("rb") as file:
        end = b"".join(collections.deque(file, maxlen=lines))
        while True:
            print(end.decode(errors="replace"), end="", flush=True)
            if not follow:
                return
            time.sleep(LOOK_EVERY_S)
            if os.fstat(file.fileno()).st_size < file.tell():  # it was set aside
                file.seek(0)
            end = file.read()


def stop(
    name: Annotated[str, typer.Argument(help="Which process, or a service for all of its processes.")],
) -> None:
    """Stop one process; it is not restarted. `start` brings it back."""
    processes = _named(name)
    for process in processes:
        state.stopped_marker(home_folder(), process).touch()
    for process in processes:
        _wait_for(process, "stopped")


def start(
    name: Annotated[str, typer.Argument(help="Which process, or a service for all of its processes.")],
) -> None:
    """Start a process that was stopped by name."""
    processes = _named(name)
    for process in processes:
        state.stopped_marker(home_folder(), process).unlink(missing_ok=True)
    for process in processes:
        _wait_for(process, "healthy")


def _named(name: str) -> list[str]:
    """Return the process of this name, or all that differ from it by their number only."""
    now = state.read(home_folder())
    if now is None or not now.is_running:
        raise UsageError(f"no stack runs in {home_folder()}")
    names = [each.name for each in now.processes]
    meant = [each for each in names if each == name or each.rpartition("-")[0] == name]
    if not meant:
        raise UsageError(f"there is no process {name}; there are {', '.join(names)}")
    return meant


def _wait_for(name: str, wanted: state.Condition, deadline_s: float = 60.0) -> None:
    deadline = time.monotonic() + deadline_s
    why: str | None = None
    while time.monotonic() < deadline:
        now = state.read(home_folder())
        for each in now.processes if now else []:
            if each.name == name:
                why = each.why
                if each.state == wanted:
                    print(f"{name} is {wanted}")
                    return
        time.sleep(0.1)
    progress(f"{name} is not {wanted} after {deadline_s:.0f} s: {why}")
    raise typer.Exit(1)
