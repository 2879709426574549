"""Containers in the words of `waybill status`: what `docker inspect` says of one, as a part."""

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from waybill.parts import Condition, Part

STEPS = frozenset({"secrets", "database", "migrations", "topics"})  # they end, as they should
SERVICE = "com.docker.compose.service"

Inspected = Mapping[str, Any]


def part_of(container: Inspected, ports: Mapping[str, int]) -> Part | None:
    """Return a container as a part; None for a step of the preparation."""
    name = service_of(container)
    if name in STEPS:
        return None
    state = container["State"]
    condition, why = _condition(state)
    started = _seconds(state["StartedAt"]) if state["Running"] else None
    return Part(name, condition, ports.get(name, 0), why, _visible_pid(container), started)


def service_of(container: Inspected) -> str:
    """Return under which name the compose file knows a container."""
    return str(container["Config"]["Labels"][SERVICE])


def step_that_failed(containers: Iterable[Inspected]) -> str:
    """Return the sentence of a step that did not end well, or nothing."""
    for each in containers:
        code = each["State"]["ExitCode"]
        if service_of(each) in STEPS and each["State"]["Status"] == "exited" and code:
            return f"{service_of(each)} ended with {code}: see `waybill logs {service_of(each)} --stack compose`"
    return ""


def _condition(state: Mapping[str, Any]) -> tuple[Condition, str | None]:
    status = state["Status"]
    if status == "running":
        return _of_running(state.get("Health"))
    if status == "restarting":
        return "restarting", f"it ended with {state['ExitCode']}"
    if status == "created":
        return "starting", "it has not started"
    if state.get("OOMKilled"):
        return "unhealthy", "it needed more memory than its limit"
    return "stopped", f"stopped, with {state['ExitCode']}"


def _of_running(health: Mapping[str, Any] | None) -> tuple[Condition, str | None]:
    if health is None or health["Status"] == "healthy":
        return "healthy", None
    said = [each["Output"].strip() for each in health.get("Log") or () if each["ExitCode"]]
    why = said[-1].splitlines()[-1] if said and said[-1] else "it has just started"
    return ("starting" if health["Status"] == "starting" else "unhealthy"), why


def _visible_pid(container: Inspected) -> int | None:
    """Return the container's process, unless the engine lives in a virtual machine, where pids are others."""
    pid = int(container["State"]["Pid"])
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text() if pid else ""
    except OSError:
        return None
    return pid if container["Id"] in groups else None


def _seconds(time: str) -> float:
    """Return epoch seconds of what Docker writes with nine decimals."""
    whole, _, _ = time.rstrip("Z").partition(".")
    return dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC).timestamp()
