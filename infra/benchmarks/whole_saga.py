"""What the whole shop does under loads that come as they come: from a quiet evening to five times the holiday.

Each load is `waybill load` on one stack of its own, with the audit behind it; a column is what it printed.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from side_by_side import Figures, Table

from waybill.driver import Waybill
from waybill.output import progress
from waybill.testing import forget, free_base_port

BROKERS = "kafka-"


class Load(NamedTuple):
    """Orders a second, for so many seconds, behind a ramp and a warm-up; offered by so many processes."""

    rate: float
    seconds: float
    ramp_s: float
    warm_up_s: float
    processes: int


class Effort(NamedTuple):
    """The loads by name, in the order in which one stack bears them, behind one that compiles the brokers' code."""

    loads: dict[str, Load]
    brokers: int
    warm_up: Load | None = None


FULL = Effort(
    {  # the longest one last: the audit behind each reads everything from the beginning
        "a quiet evening": Load(20, 40, ramp_s=0, warm_up_s=40, processes=1),
        "more than it can bear": Load(450, 45, ramp_s=15, warm_up_s=10, processes=2),
        "50,000 in a minute": Load(50_000 / 60, 60, ramp_s=0, warm_up_s=0, processes=2),
        "the classic holiday": Load(10_000 / 60, 600, ramp_s=20, warm_up_s=10, processes=1),
    },
    brokers=3,
    warm_up=Load(150, 120, ramp_s=20, warm_up_s=0, processes=1),
)
QUICK = Effort({"a few": Load(10, 2, ramp_s=1, warm_up_s=0, processes=2)}, brokers=1)


def measure(effort: Effort) -> Table:
    """Have a shop of its own bear each load; return what was accepted, how long it took, and what an order cost."""
    with a_new_shop(effort.brokers) as shop:
        if effort.warm_up:
            bear(shop, "a warm-up", effort.warm_up)
        found = {name: bear(shop, name, load) for name, load in effort.loads.items()}
    told = (
        f"`waybill load` on a stack with {effort.brokers} broker(s), one process of each service; all of it, and the"
        " processes that offer, on this machine. Milliseconds from the moment that an order was due to its 202, and"
        " from its 202 until its shipment was visible; CPU in milliseconds an order, of everything but what offers."
        " Violations: what the audit found."
    )
    before = [f"a warm-up, not shown: {_told(effort.warm_up)}"] if effort.warm_up else []
    notes = before + [f"{name}: {_told(load)}" for name, load in effort.loads.items()]
    columns = {name: _figures(data) for name, data in found.items()}
    rows = {each: {name: column[each] for name, column in columns.items()} for each in next(iter(columns.values()))}
    return Table("saga", "The whole saga", told, rows, notes)


def _told(load: Load) -> str:
    before = f", behind a ramp of {load.ramp_s:g} s and {load.warm_up_s:g} s at the full rate"
    return f"{load.rate:,.0f} orders/s for {load.seconds:g} s" + (before if load.ramp_s or load.warm_up_s else "")


@contextmanager
def a_new_shop(brokers: int) -> Iterator[Waybill]:
    """Run a stack of its own for the length of the block; yield the command that drives it."""
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder:
        shop = Waybill(Path(folder) / "home", free_base_port(), WAYBILL_JIT="full")
        try:
            started = shop("up", "--brokers", str(brokers))
            if started.code:
                raise RuntimeError(started.err)
            yield shop
        finally:
            shop("down")
            forget(shop.home)


def bear(shop: Waybill, name: str, load: Load) -> dict[str, Any]:
    """Have a shop bear a load; return what `waybill load --json` printed."""
    progress(f"the saga: {name}, {_told(load)}")
    words = {
        "--rate": load.rate,
        "--duration": load.seconds,
        "--ramp": load.ramp_s,
        "--warm-up": load.warm_up_s,
        "--processes": load.processes,
    }
    command = [str(shop.executable), "load", "--json", *(str(word) for pair in words.items() for word in pair)]
    ended = subprocess.run(command, env=shop.environment, stdout=subprocess.PIPE, text=True, check=False)
    if not ended.stdout:
        raise RuntimeError(f"waybill load ended with {ended.returncode}")
    data: dict[str, Any] = json.loads(ended.stdout)
    return data


def _figures(data: dict[str, Any]) -> Figures:
    """Return a column of what `waybill load --json` printed."""
    accept, ship, cpu = data["accept_ms"], data["ship_ms"], data["cpu_ms_per_order"]
    figures = {
        "offered/s": data["rate"],
        "accepted": data["accepted"],
        "refused": data["refused"],
        "refused without Retry-After": data["refused_without_retry_after"],
        "accepted, but never ended": data["unsettled"],
        "violations": sum(each["ok"] is False for each in data["audit"]["invariants"]),
        "shipped/s": data["shipped_per_s"],
        "s until all had ended": data["drained_s"],
        "most records behind": data["lag_max"],
    }
    told = {"p50": "p50", "p99": "p99", "p99_9": "p99.9", "max": "max"}
    figures |= {f"202 {shown} ms": accept.get(name, 0.0) for name, shown in told.items()}
    figures |= {f"shipped {shown} ms": ship.get(name, 0.0) for name, shown in told.items()}
    of_brokers = sum(spent for name, spent in cpu.items() if name.startswith(BROKERS))
    figures |= {"CPU ms an order": sum(cpu.values()), "of it the brokers": of_brokers}
    figures |= {f"of it {name}": spent for name, spent in cpu.items() if not name.startswith(BROKERS)}
    return figures | {"MiB": sum(data["memory_mib"].values())}
