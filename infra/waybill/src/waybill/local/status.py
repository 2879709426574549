"""`waybill status`: what runs, how it is, and why not."""

import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from waybill.home import home_folder
from waybill.local import state
from waybill.output import emit

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def status(*, as_json: Json = False) -> None:
    """Show what runs, how it is, and why not. Exits 1 when something is not healthy."""
    now = state.read(home_folder())
    data = described(now)
    emit(data, lambda: _print(data, now), as_json=as_json)
    if not data["healthy"]:
        raise typer.Exit(1)


def described(now: state.State | None) -> dict[str, Any]:
    """Return the stack as `status --json` prints it."""
    if now is None or not now.is_running:
        return {"healthy": False, "rss_bytes": 0, "processes": []}
    processes = [_process(each) for each in now.processes]
    return {"healthy": now.healthy, "rss_bytes": sum(each["rss_bytes"] for each in processes), "processes": processes}


def _process(each: state.ProcessState) -> dict[str, Any]:
    return {
        "name": each.name,
        "pid": each.pid,
        "state": each.state,
        "rss_bytes": _memory(each.pid) if each.pid else 0,
        "port": each.port,
        "uptime_s": round(time.time() - each.started_at, 1) if each.started_at else None,
        "why": each.why,
    }


def _memory(pid: int) -> int:
    """Return the memory of a process and its children: shared pages by their share, where the system tells."""
    try:
        process = psutil.Process(pid)
        return sum(_share(each) for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _share(process: psutil.Process) -> int:
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    rss: int = process.memory_info().rss
    return rss


def _print(data: dict[str, Any], now: state.State | None) -> None:
    if now is None or not now.is_running:
        print(f"no stack runs in {home_folder()}" + (f": {now.message}" if now and now.phase == "failed" else ""))
        return
    table = Table("process", "state", "pid", "memory", "port", "up", "why", box=None)
    for each in data["processes"]:
        uptime = "" if each["uptime_s"] is None else f"{each['uptime_s']:.0f} s"
        memory = f"{each['rss_bytes'] / 2**20:.0f} MiB"
        table.add_row(
            each["name"], each["state"], str(each["pid"] or ""), memory, str(each["port"]), uptime, each["why"] or ""
        )
    console = Console()
    console.print(table)
    console.print(f"{data['rss_bytes'] / 2**20:.0f} MiB in all; logs in {home_folder() / 'logs'}")
