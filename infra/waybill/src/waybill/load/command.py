"""`waybill load`: how long it takes from the click to the parcel, at a rate that nothing holds back."""

import asyncio
import time
import uuid
from typing import Annotated, Any

import typer

from waybill.audit import audit
from waybill.audit.report import Report
from waybill.customers import Shop
from waybill.load.generator import Outcome
from waybill.load.generators import Generators, started
from waybill.load.plan import Plan
from waybill.load.result import printed, result
from waybill.load.usage import LagWatch, cpu_of, memory_of
from waybill.output import emit, progress
from waybill.placing import settle
from waybill.reporting import answers_of, print_report
from waybill.stack import Stack
from waybill.stacks import chosen
from waybill.watcher import Watcher

TELL_EVERY_S = 10.0
SETTLE_DEADLINE_S = 120.0
SLOWEST = 50  # orders a second: a backlog is given as long as a shop that settles so few would take
PLENTY = 10_000_000


def load(  # noqa: PLR0913  # a command's options
    *,
    rate: Annotated[float, typer.Option(min=0.1, max=5_000, help="Orders offered a second.")],
    duration: Annotated[float, typer.Option(min=1, max=3_600, help="For so many seconds.")],
    warm_up: Annotated[float, typer.Option(min=0, max=600, help="Offer as much for so long before, unmeasured.")] = 5,
    ramp: Annotated[float, typer.Option(min=0, max=600, help="Rise to the rate over so long before, unmeasured.")] = 0,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Offer by so many processes side by side.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Offer orders in an open loop, wait until they are settled, print the latencies, and audit."""
    data, report = asyncio.run(_load(Stack.load(), Plan(rate, ramp, warm_up, duration), processes))
    emit(data, lambda: _print(data, report), as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)


async def _load(stack: Stack, plan: Plan, processes: int) -> tuple[dict[str, Any], Report]:
    run = uuid.uuid4().hex[:8]
    sku = f"load-{run}"
    async with Shop(stack) as shop:
        await shop.stock({sku: (1_999, PLENTY)})
    with Watcher(stack) as watcher, LagWatch(stack) as lag, started(stack, plan, run, sku, processes) as generators:
        await generators.ready()
        before, outcome = await _offer(plan, generators, watcher, lag)
        accepted = outcome.before.order_ids | outcome.measured.order_ids
        answered_at = time.monotonic()
        ended = await settle(watcher, accepted, SETTLE_DEADLINE_S + len(accepted) / SLOWEST)
        drained_s = time.monotonic() - answered_at
        parts = chosen().look().parts
        used = {part[0]: spent - before.get(part, 0.0) for part, spent in cpu_of(parts).items()}
    progress("auditing")
    report = await audit(stack, answers=answers_of([*outcome.before.answers, *outcome.measured.answers]))
    found = result(plan, outcome, watcher, used) | {
        "processes": processes,
        "unsettled": len(accepted) - ended,
        "drained_s": round(drained_s, 1),
        "lag_max": lag.most,
        "memory_mib": memory_of(parts),
        "audit": report.model_dump(mode="json"),
    }
    return found, report


async def _offer(
    plan: Plan, generators: Generators, watcher: Watcher, lag: LagWatch
) -> tuple[dict[tuple[str, int], float], Outcome]:
    """Have a plan offered; return what CPU had been used when its measured time began, and what came of it."""
    if plan.measured_from_s:
        progress(f"warming up for {plan.measured_from_s:g} s")
    began = generators.begin()
    offering = asyncio.create_task(generators.outcome())
    await asyncio.wait([offering], timeout=began + plan.measured_from_s - time.monotonic())
    progress(f"offering {plan.rate:g} orders/s for {plan.duration_s:g} s")
    before = cpu_of(chosen().look().parts)
    while not (await asyncio.wait([offering], timeout=TELL_EVERY_S))[0]:
        passed = time.monotonic() - began - plan.measured_from_s
        progress(f"  {passed:.0f} s: {len(watcher.shipped_at)} shipped so far, {lag.now} records behind")
    return before, await offering


def _print(data: dict[str, Any], report: Report) -> None:
    for line in printed(data):
        print(line)
    print_report(report)
