"""The command `waybill audit`."""

import asyncio
import contextlib
import signal
from typing import Annotated

import typer
from rich.console import Console

from waybill.audit.history import History
from waybill.audit.report import render
from waybill.audit.run import audit as run
from waybill.audit.watch import Watch
from waybill.errors import UsageError
from waybill.output import emit, progress
from waybill.stack import Stack


def audit(
    *,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until all orders are settled.")] = 30,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking first, until Ctrl-C or SIGTERM.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0, help="End the watching after so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read topics, databases and the gateway's ledger, and judge every invariant. Exits 1 when one does not hold."""
    if seconds is not None and not watch:
        raise UsageError("--seconds says how long to watch: give --watch too")
    stack = Stack.load()
    history = asyncio.run(watched(stack, seconds)) if watch else None
    report = asyncio.run(run(stack, wait_s=wait, history=history))
    emit(report.model_dump(), lambda: render(report, Console()), as_json=as_json)
    if not report.ok:
        raise typer.Exit(1)


async def watched(stack: Stack, seconds: float | None) -> History:
    """Watch a stack until a signal comes or the time is up, and return what was seen."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with Watch(stack) as watch:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, over.set)
        progress("watching: Ctrl-C ends it, and the audit follows")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await over.wait()
    progress(f"watched: {watch.history.summary}; now the audit")
    return watch.history
