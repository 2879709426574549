"""What a load run found: figures for programs, and lines for people."""

import platform
from collections.abc import Iterator
from typing import Any

import psutil

from waybill.latency import percentiles_ms
from waybill.load.generator import Outcome
from waybill.load.plan import Plan
from waybill.watcher import Watcher


def result(plan: Plan, outcome: Outcome, watcher: Watcher, used: dict[str, float]) -> dict[str, Any]:
    """Return the measured time's figures: counts, latencies in ms, and the CPU of each part in ms an order.

    `used` is what each part used of the CPU, in seconds, from the measured time's begin until all had settled;
    of one that was started again meanwhile, its last process alone.
    """
    placed = outcome.measured
    shipped = watcher.shipped_at.keys() & placed.order_ids
    last = max((watcher.shipped_at[order] for order in shipped), default=0.0)
    first = min((watcher.shipped_at[order] for order in shipped), default=0.0)
    return {
        "rate": plan.rate,
        "ramp_s": plan.ramp_s,
        "warm_up_s": plan.warm_up_s,
        "duration_s": plan.duration_s,
        "offered": outcome.offered,
        "accepted": len(placed.order_ids),
        "refused": sum(outcome.refused.values()),
        "refused_by": dict(outcome.refused),
        "refused_because": dict(outcome.because),
        "refused_without_retry_after": outcome.without_retry_after,
        "shipped": len(shipped),
        "shipped_per_s": round(len(shipped) / (last - first), 1) if last > first else 0.0,
        "accept_ms": percentiles_ms(placed.accept_s),
        "ship_ms": percentiles_ms(watcher.shipped_at[order] - placed.accepted_at[order] for order in shipped),
        "cpu_ms_per_order": _ms_an_order(used, len(shipped)),
        "generators": {"late_ms": percentiles_ms(outcome.late_s), "cpu_s": round(outcome.cpu_s, 1)},
        "machine": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.platform()}",
    }


def _ms_an_order(used: dict[str, float], orders: int) -> dict[str, float]:
    return {name: round(spent * 1000 / max(1, orders), 2) for name, spent in sorted(used.items())}


def printed(data: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a result for people."""
    yield data["machine"]
    yield (
        f"{data['offered']} offered at {data['rate']:g}/s, {data['accepted']} accepted, {data['refused']} refused"
        + "".join(f", {count} by {why}" for why, count in data["refused_by"].items())
    )
    yield from (f"{count} were told: {why}" for why, count in data["refused_because"].items())
    if data["refused_without_retry_after"]:
        yield f"{data['refused_without_retry_after']} were refused without Retry-After"
    yield f"{data['shipped']} shipped, {data['shipped_per_s']}/s, {data['unsettled']} have not ended"
    yield f"all ended {data['drained_s']} s after the last answer, largest lag {data['lag_max']} records"
    yield from _table(data)
    yield (
        "CPU ms an order: " + _each(data["cpu_ms_per_order"]) + f", in all {sum(data['cpu_ms_per_order'].values()):.1f}"
    )
    yield "memory MiB: " + _each(data["memory_mib"]) + f", in all {sum(data['memory_mib'].values())}"
    yield f"the {data['processes']} that offered used {data['generators']['cpu_s']} s of CPU beside that"


def _table(data: dict[str, Any]) -> Iterator[str]:
    """Yield the latencies, a line each."""
    rows = {"202 ms": data["accept_ms"], "shipped ms": data["ship_ms"], "sent late ms": data["generators"]["late_ms"]}
    names = ("p50", "p90", "p99", "p99_9", "max")
    yield " " * 12 + "".join(f"{name.replace('_', '.'):>10}" for name in names)
    for row, found in rows.items():
        yield f"{row:12}" + "".join(f"{found.get(name, '-'):>10}" for name in names)


def _each(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} {figure}" for name, figure in figures.items())
