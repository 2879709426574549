"""The command `waybill audit`."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from waybill.audit.report import render
from waybill.audit.run import audit as run
from waybill.output import emit
from waybill.stack import Stack


def audit(
    *,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until all orders are settled.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read topics, databases and the gateway's ledger, and judge every invariant. Exits 1 when one does not hold."""
    report = asyncio.run(run(Stack.load(), wait_s=wait))
    emit(report.model_dump(), lambda: render(report, Console()), as_json=as_json)
    if not report.ok:
        raise typer.Exit(1)
