"""`waybill provision`: shows what would be made or changed, makes it, finds what has drifted."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from waybill import output
from waybill.errors import UsageError
from waybill.provision.changes import Change, Part, Plan
from waybill.provision.everything import PARTS, apply, plan
from waybill.stack import Stack

SIGNS = {"create": "[green]+", "alter": "[yellow]~", "remove": "[red]-"}


def provision(
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if anything has drifted.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="postgres, kafka or registry alone; may be said twice.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make topics, users, permissions, databases and schemas as the contracts say."""
    stack, parts = Stack.load(), parts_of(only or PARTS)
    found = asyncio.run(plan(stack, parts) if check else apply(stack, parts))
    ok = found.empty if check else not found.conflicts
    data = {"ok": ok, "applied": not check, **found.model_dump(mode="json")}
    output.emit(data, lambda: show(found, applied=not check), as_json=as_json)
    raise typer.Exit(0 if ok else 1)


def parts_of(words: Iterable[str]) -> list[Part]:
    """Return the parts that are named. UsageError: there is none of this name."""
    parts = {str(part): part for part in PARTS}
    if unknown := set(words) - parts.keys():
        raise UsageError(f"--only takes one of {', '.join(parts)}, not {', '.join(sorted(unknown))}")
    return [parts[word] for word in words]


def show(found: Plan, *, applied: bool) -> None:
    """Print a plan, one change a line."""
    console = Console(soft_wrap=True, highlight=False)
    for change in found.changes:
        console.print(_line(change))
    for conflict in found.conflicts:
        console.print(f"[red]![/] {escape(conflict)}")
    if found.empty:
        console.print("Nothing to do: everything is as the contracts say.")
    else:
        done = "made" if applied else "to make"
        console.print(f"changes {done}: {len(found.changes)}; to settle by hand: {len(found.conflicts)}")


def _line(change: Change) -> str:
    detail = f": {change.detail}" if change.detail else ""
    return f"{SIGNS[change.action]}[/] {change.part} {change.kind} {escape(change.name + detail)}"
