"""The commands of the local stack: up, down, status, logs, stop, start."""

import collections
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from waybill.errors import UsageError
from waybill.local import control, state
from waybill.local.kafka import replicas
from waybill.local.layout import Options, cache_folder, checked
from waybill.output import emit, progress
from waybill.stack import home_folder

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def up(  # noqa: PLR0913  # a command's options
    *,
    brokers: Annotated[int, typer.Option(min=1, max=3, help="How many Kafka brokers; fewer for tight machines.")] = 3,
    instances: Annotated[list[str] | None, typer.Option(help="More processes of a service: inventory=2.")] = None,
    base_port: Annotated[int, typer.Option(envvar="WAYBILL_BASE_PORT", help="First of the ports.")] = 18_000,
    namespace: Annotated[str, typer.Option(envvar="WAYBILL_NAMESPACE", help="Prefix of topics, groups, users.")] = "",
    services: Annotated[bool, typer.Option(help="With the shop's services, or the infrastructure alone.")] = True,
    as_json: Json = False,
) -> None:
    """Start the stack, and return when everything is healthy. Ctrl-C takes down what has started."""
    options = Options(
        home=home_folder(),
        cache=cache_folder(),
        base_port=base_port,
        namespace=namespace,
        brokers=brokers,
        instances=checked(namespace, instances or []),
        with_services=services,
    )
    bring_up(options)
    status(as_json=as_json)


def bring_up(options: Options) -> None:
    """Start a stack, with progress, and return when everything is healthy."""
    began = time.monotonic()
    if options.brokers < 3:  # noqa: PLR2004  # three copies want three brokers
        copies, in_sync = replicas(options.brokers)
        progress(
            f"{options.brokers} broker(s): {copies} copies of a record, {in_sync} in sync; a lost broker stops writes"
        )
    control.bring_up(options)
    progress(f"everything is healthy after {time.monotonic() - began:.0f} s")


def down(*, as_json: Json = False) -> None:
    """Take the stack down; its data stays. Nothing to take down is no error."""
    ran = control.take_down(home_folder())
    emit({"was_running": ran}, lambda: print("down" if ran else "nothing was running"), as_json=as_json)


def status(*, as_json: Json = False) -> None:
    """Show what runs, how it is, and why not. Exits 1 when something is not healthy."""
    now = state.read(home_folder())
    data = described(now)
    emit(data, lambda: _print(data, now), as_json=as_json)
    if not data["healthy"]:
        raise typer.Exit(1)


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
    with path.open(errors="replace") as file:
        print("".join(collections.deque(file, maxlen=lines)), end="")
        while follow:
            print(file.read(), end="", flush=True)
            time.sleep(0.3)


def stop(name: Annotated[str, typer.Argument(help="Which process; it stays down until `start`.")]) -> None:
    """Stop one process; it is not restarted."""
    _known(name)
    state.stopped_marker(home_folder(), name).touch()
    _wait_for(name, "stopped")


def start(name: Annotated[str, typer.Argument(help="Which process.")]) -> None:
    """Start a process that was stopped by name."""
    _known(name)
    state.stopped_marker(home_folder(), name).unlink(missing_ok=True)
    _wait_for(name, "healthy")


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


def _known(name: str) -> None:
    now = state.read(home_folder())
    if now is None or not now.is_running:
        raise UsageError(f"no stack runs in {home_folder()}")
    names = [each.name for each in now.processes]
    if name not in names:
        raise UsageError(f"there is no process {name}; there are {', '.join(names)}")


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
