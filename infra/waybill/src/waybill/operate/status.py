"""`waybill status`: what runs, how it is, and why not."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from waybill.output import emit
from waybill.parts import Part, Seen
from waybill.stacks import chosen
from waybill.usage import memory

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def status(*, as_json: Json = False) -> None:
    """Show what runs, how it is, and why not. Exits 1 when something is not healthy."""
    stack = chosen()
    seen = stack.look()
    data = described(seen)
    emit(data, lambda: _print(data, seen, stack.home), as_json=as_json)
    if not data["healthy"]:
        raise typer.Exit(1)


def described(seen: Seen) -> dict[str, Any]:
    """Return the stack as `status --json` prints it."""
    parts = [_part(each) for each in seen.parts]
    return {"healthy": seen.healthy, "rss_bytes": sum(each["rss_bytes"] for each in parts), "processes": parts}


def _part(each: Part) -> dict[str, Any]:
    return {
        "name": each.name,
        "pid": each.pid,
        "state": each.state,
        "rss_bytes": memory(each.pid) if each.pid else 0,
        "port": each.port,
        "uptime_s": round(time.time() - each.started_at, 1) if each.started_at else None,
        "why": each.why,
    }


def _print(data: dict[str, Any], seen: Seen, home: Path) -> None:
    if not seen.running:
        print(f"no stack runs in {home}" + (f": {seen.message}" if seen.message else ""))
        return
    table = Table("process", "state", "pid", "memory", "port", "up", "why", box=None)
    for each in data["processes"]:
        uptime = "" if each["uptime_s"] is None else f"{each['uptime_s']:.0f} s"
        used = f"{each['rss_bytes'] / 2**20:.0f} MiB"
        table.add_row(
            each["name"], each["state"], str(each["pid"] or ""), used, str(each["port"]), uptime, each["why"] or ""
        )
    console = Console()
    console.print(table)
    if seen.message:
        console.print(seen.message)
    console.print(f"{data['rss_bytes'] / 2**20:.0f} MiB in all; `waybill logs NAME` says more; the home is {home}")
