"""`waybill load`: how long it takes from the click to the parcel, at a rate that nothing holds back."""

import asyncio
import platform
import uuid
from typing import Annotated, Any

import psutil
import typer

from waybill.audit import audit
from waybill.audit.report import Report
from waybill.customers import Shop
from waybill.latency import percentiles_ms
from waybill.load.arrivals import Arrivals
from waybill.load.usage import LagWatch, cpu_of
from waybill.output import emit, progress
from waybill.placing import Placed, settle
from waybill.reporting import answers_of, print_report
from waybill.stack import Stack
from waybill.stacks import chosen
from waybill.watcher import Watcher

CONNECTIONS = 512
SETTLE_DEADLINE_S = 120.0
PLENTY = 10_000_000


def load(
    *,
    rate: Annotated[float, typer.Option(min=0.1, max=5_000, help="Orders offered a second.")],
    duration: Annotated[float, typer.Option(min=1, max=3_600, help="For so many seconds.")],
    warm_up: Annotated[float, typer.Option(min=0, max=600, help="Offer as much for so long before, unmeasured.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Offer orders in an open loop, wait until they are settled, print the latencies, and audit."""
    data, report = asyncio.run(_load(Stack.load(), rate, duration, warm_up))
    emit(data, lambda: _print(data, report), as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)


async def _load(stack: Stack, rate: float, duration_s: float, warm_up_s: float) -> tuple[dict[str, Any], Report]:
    run = uuid.uuid4().hex[:8]
    sku = f"load-{run}"
    async with Shop(stack, connections=CONNECTIONS) as shop:
        await shop.stock({sku: (1_999, PLENTY)})
        with Watcher(stack) as watcher:
            progress(f"warming up for {warm_up_s:g} s")
            warming = Arrivals(shop, sku, f"{run}w")
            await warming.offer(rate, warm_up_s)
            progress(f"offering {rate:g} orders/s for {duration_s:g} s")
            before, arrivals = cpu_of(chosen().look().parts), Arrivals(shop, sku, run)
            with LagWatch(stack) as lag:
                await arrivals.offer(rate, duration_s)
                await settle(watcher, arrivals.placed.order_ids | warming.placed.order_ids, SETTLE_DEADLINE_S)
            after = cpu_of(chosen().look().parts)
    used = {name: spent - before.get(name, 0.0) for name, spent in after.items()}
    progress("auditing")
    report = await audit(stack, answers=answers_of([*warming.placed.answers, *arrivals.placed.answers]))
    result = _result(arrivals, watcher, used, report) | {"rate": rate, "duration_s": duration_s, "warm_up_s": warm_up_s}
    return result | {"lag_max": lag.most, "machine": _machine()}, report


def _result(arrivals: Arrivals, watcher: Watcher, used: dict[str, float], report: Report) -> dict[str, Any]:
    placed: Placed = arrivals.placed
    shipped = watcher.shipped_at.keys() & placed.order_ids
    per_order = {name: round(spent * 1000 / max(1, len(shipped)), 2) for name, spent in used.items()}
    return {
        "offered": arrivals.offered,
        "accepted": len(placed.order_ids),
        "refused": sum(arrivals.refused.values()),
        "refused_by": dict(arrivals.refused),
        "shipped": len(shipped),
        "accept_ms": percentiles_ms(placed.accept_s),
        "ship_ms": percentiles_ms(watcher.shipped_at[i] - placed.accepted_at[i] for i in shipped),
        "cpu_ms_per_order": per_order,
        "audit": report.model_dump(mode="json"),
    }


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.platform()}"


def _print(data: dict[str, Any], report: Report) -> None:
    print(data["machine"])
    print(f"{data['offered']} offered at {data['rate']:g}/s, {data['accepted']} accepted, {data['refused']} refused")
    print(f"202 after {data['accept_ms']} ms")
    print(f"shipped after {data['ship_ms']} ms, largest lag {data['lag_max']} records")
    print(f"CPU ms an order: {data['cpu_ms_per_order']}")
    print_report(report)
