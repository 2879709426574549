"""`waybill down`, `logs`, `stop`, `start`: what is done to a stack that runs."""

import time
from typing import Annotated

import typer

from waybill.operate.status import Json
from waybill.output import emit, progress
from waybill.parts import Condition, Parts
from waybill.stacks import chosen

LOOK_EVERY_S = 0.1
DEADLINE_S = 60.0


def down(*, as_json: Json = False) -> None:
    """Take the stack down; its data stays. Nothing to take down is no error."""
    ran = chosen().take_down()
    emit({"was_running": ran}, lambda: print("down" if ran else "nothing was running"), as_json=as_json)


def logs(
    name: Annotated[str, typer.Argument(help="Which process: see `waybill status`; or supervisor.")],
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
) -> None:
    """Print the end of a process's log."""
    for text in chosen().log(name, lines, follow=follow):
        print(text, end="", flush=True)


def stop(
    name: Annotated[str, typer.Argument(help="Which process, or a service for all of its processes.")],
) -> None:
    """Stop one process; it is not restarted. `start` brings it back."""
    stack = chosen()
    _wait_for(stack, stack.stop(name), "stopped")


def start(
    name: Annotated[str, typer.Argument(help="Which process, or a service for all of its processes.")],
) -> None:
    """Start a process that was stopped by name."""
    stack = chosen()
    _wait_for(stack, stack.start(name), "healthy")


def _wait_for(stack: Parts, names: list[str], wanted: Condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    waiting = dict.fromkeys(names, "")
    while waiting and time.monotonic() < deadline:
        for each in stack.look().parts:
            if each.name in waiting and each.state == wanted:
                print(f"{each.name} is {wanted}")
                del waiting[each.name]
            elif each.name in waiting:
                waiting[each.name] = each.why or each.state
        time.sleep(LOOK_EVERY_S)
    for name, why in waiting.items():
        progress(f"{name} is not {wanted} after {DEADLINE_S:.0f} s: {why}")
    if waiting:
        raise typer.Exit(1)
