"""`waybill demo`: start everything, order a few hundred times, poison a topic, audit."""

import asyncio
import time
import uuid
from collections import Counter
from typing import Annotated, Any

import typer
from rich.console import Console

from waybill.audit import audit
from waybill.audit.report import Report
from waybill.customers import Shop
from waybill.demo.poison import dead_letters, poison
from waybill.demo.story import Story, products, tell
from waybill.operate.up import bring_up
from waybill.output import emit, progress
from waybill.parts import Wanted
from waybill.placing import Placed, place_in_order, settle
from waybill.reporting import answers_of, print_report
from waybill.stack import Stack
from waybill.stacks import chosen
from waybill.watcher import Watcher

AT_ONCE = 16
SETTLE_DEADLINE_S = 120.0
POISONED = "orders"
POISONED_READERS = ("inventory", "accounting")


def demo(
    *,
    orders: Annotated[int, typer.Option(min=50, max=20_000, help="How many orders.")] = 300,
    brokers: Annotated[int, typer.Option(min=1, max=3, help="Kafka brokers, where the stack is not up yet.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the whole story: the stack starts if it is not up, orders go through, the audit has the last word."""
    parts = chosen()
    if not parts.look().running:
        bring_up(parts, Wanted(brokers))
    data, report = asyncio.run(_demo(Stack.load(), orders))
    emit(data, lambda: _print(data, report), as_json=as_json)
    raise typer.Exit(0 if data["ok"] else 1)


async def _demo(stack: Stack, orders: int) -> tuple[dict[str, Any], Report]:
    began = time.monotonic()
    run = uuid.uuid4().hex[:6]
    story, placed = tell(run, orders), Placed()
    letters_before = {service: dead_letters(stack, service) for service in POISONED_READERS}
    async with Shop(stack) as shop:
        progress("stocking the shelves")
        await shop.stock(products(run))
        with Watcher(stack) as watcher:
            progress(f"placing {orders} orders, {len(story.repeated)} of them twice, and a poisoned record among them")
            await place_in_order(shop, story.purchases, AT_ONCE, placed)
            await asyncio.to_thread(poison, stack, POISONED)
            await place_in_order(shop, story.repeated, AT_ONCE, placed)
            await settle(watcher, placed.order_ids, SETTLE_DEADLINE_S)
    progress("auditing")
    report = await audit(stack, answers=answers_of(placed.answers))
    letters = {service: dead_letters(stack, service) - before for service, before in letters_before.items()}
    outcomes = Counter(watcher.statuses.get(order_id, "unknown") for order_id in placed.order_ids)
    return _result(story, placed, outcomes, letters, report) | {"seconds": round(time.monotonic() - began, 1)}, report


def _result(
    story: Story, placed: Placed, outcomes: Counter[str], letters: dict[str, int], report: Report
) -> dict[str, Any]:
    replayed = sum(answer.replayed for answer in placed.answers)
    as_told = dict(outcomes) == story.expected and replayed == len(story.repeated)
    return {
        "ok": as_told and all(each == 1 for each in letters.values()) and report.ok,
        "outcomes": dict(outcomes),
        "expected": story.expected,
        "replayed": replayed,
        "dead_letters": letters,
        "audit": report.model_dump(mode="json"),
    }


def _print(data: dict[str, Any], report: Report) -> None:
    console = Console(soft_wrap=True)
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(data["outcomes"].items()))
    console.print(f"{told}; {data['replayed']} were sent twice and answered from memory, in {data['seconds']} s")
    console.print(f"dead letters of the poisoned record: {data['dead_letters']}")
    if data["outcomes"] != data["expected"]:
        console.print(f"expected were {data['expected']}", style="red")
    stack = Stack.load()
    for service, urls in stack.services.items():
        console.print(f"{service:12} {urls[0]}/docs  {urls[0]}/metrics", highlight=False)
    console.print("next: `waybill status`, `waybill stop kafka-2`, `waybill load --rate 50 --duration 20`, `make down`")
    print_report(report)
