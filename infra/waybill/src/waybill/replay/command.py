"""`waybill replay`: real purchases through the whole shop, and the cents counted."""

import asyncio
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from waybill.audit import audit
from waybill.audit.report import Report
from waybill.customers import Shop
from waybill.latency import percentiles_ms
from waybill.output import emit, progress
from waybill.placing import Placed, Purchase, place_in_order, settle
from waybill.replay.purchases import Sale, read
from waybill.reporting import answers_of, captured_minor, print_report
from waybill.stack import Stack
from waybill.watcher import Watcher

AT_ONCE = 32
SETTLE_DEADLINE_S = 600.0


def replay(
    file: Annotated[Path, typer.Argument(help="CSV: customer_id,date,quantity,amount.")],
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many lines.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="At most so many orders a second.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replay purchases: one order a line, each customer's in the file's order; then compare to the cent, and audit."""
    sales = read(file, limit)
    data, report = asyncio.run(_replay(Stack.load(), sales, rate))
    emit(data, lambda: _print(data, report), as_json=as_json)
    raise typer.Exit(0 if data["ok"] else 1)


async def _replay(stack: Stack, sales: list[Sale], rate: float | None) -> tuple[dict[str, Any], Report]:
    run = uuid.uuid4().hex[:12]
    wanted = Counter(sale.sku for sale in sales)
    price = {sale.sku: sale.amount_minor for sale in sales}
    placed = Placed()
    async with Shop(stack) as shop:
        progress(f"stocking {len(wanted)} products")
        await shop.stock({sku: (price[sku], units) for sku, units in wanted.items()})
        with Watcher(stack) as watcher:
            progress(f"placing {len(sales)} orders")
            began = time.monotonic()
            await place_in_order(shop, (_purchase(sale, run) for sale in sales), AT_ONCE, placed, rate)
            await settle(watcher, placed.order_ids, SETTLE_DEADLINE_S)
            took = max(watcher.settled_at.values(), default=time.monotonic()) - began
    captured = await captured_minor(stack, placed.order_ids)
    progress("auditing")
    report = await audit(stack, answers=answers_of(placed.answers))
    compared = _compared(
        sales, {answer.key: answer.order_id for answer in placed.answers if answer.accepted}, watcher, run
    )
    return _result(placed, watcher, took, compared | {"captured_minor": captured}, report), report


def _purchase(sale: Sale, run: str) -> Purchase:
    return Purchase(sale.customer_id, ((sale.sku, 1),), "tok_ok", f"{run}-{sale.line}")


def _compared(sales: list[Sale], by_key: dict[str, str | None], watcher: Watcher, run: str) -> dict[str, Any]:
    """Hold what happened against the file."""
    return {
        "lines": len(sales),
        "file_minor": sum(sale.amount_minor for sale in sales),
        "customers_out_of_order": _out_of_order(sales, by_key, watcher, run),
    }


def _result(placed: Placed, watcher: Watcher, took: float, compared: dict[str, Any], report: Report) -> dict[str, Any]:
    shipped = watcher.shipped_at.keys() & placed.order_ids
    whole = len(shipped) == compared["lines"] and compared["captured_minor"] == compared["file_minor"]
    return {
        "ok": whole and not compared["customers_out_of_order"] and report.ok,
        "placed": len(placed.answers),
        "accepted": len(placed.order_ids),
        "shipped": len(shipped),
        **compared,
        "seconds": round(took, 1),
        "orders_per_s": round(len(shipped) / took, 1),
        "accept_ms": percentiles_ms(placed.accept_s),
        "ship_ms": percentiles_ms(watcher.shipped_at[i] - placed.accepted_at[i] for i in shipped),
        "audit": report.model_dump(mode="json"),
    }


def _out_of_order(sales: list[Sale], by_key: dict[str, str | None], watcher: Watcher, run: str) -> list[str]:
    """Return the customers whose shipments did not come in the order of the file."""
    expected: dict[str, list[str | None]] = {}
    for sale in sales:
        expected.setdefault(sale.customer_id, []).append(by_key.get(f"{run}-{sale.line}"))
    return sorted(who for who, orders in expected.items() if watcher.shipped_order.get(who, []) != orders)


def _print(data: dict[str, Any], report: Report) -> None:
    print(f"{data['accepted']} of {data['placed']} orders accepted, {data['shipped']} shipped in {data['seconds']} s")
    print(f"{data['orders_per_s']} orders/s; 202 after {data['accept_ms']} ms; shipped after {data['ship_ms']} ms")
    print(f"the file: {data['file_minor'] / 100:.2f}; captured and shipped: {data['captured_minor'] / 100:.2f}")
    for who in data["customers_out_of_order"][:10]:
        print(f"customer {who}: the shipments are not in the file's order")
    print_report(report)
