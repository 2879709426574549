"""The command `waybill dlq`."""

import asyncio
import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from waybill.dlq.office import Office, states
from waybill.errors import UsageError
from waybill.output import emit
from waybill.stack import Stack


class Action(StrEnum):
    """What is done with dead letters."""

    LIST = "list"
    SHOW = "show"
    REDRIVE = "redrive"


def dlq(
    action: Annotated[Action, typer.Argument(help="list them, show one, or redrive some.")],
    letters: Annotated[list[str] | None, typer.Argument(help="Which: accounting.0.17, as `list` names them.")] = None,
    *,
    group: Annotated[str, typer.Option(help="Only those of this service.")] = "",
    kind: Annotated[str, typer.Option(help="Only undecodable, rejected, conflict, or bug.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List dead letters, show one with its record, or send some back once their cause is mended.

    `redrive` takes names, or every open letter of a --group, of a --kind. Exits 1 where one could not be sent.
    """
    stack = Stack.load()
    office = Office(stack)
    named = letters or []
    if action is Action.SHOW:
        _show(office, named, as_json=as_json)
        return
    if action is Action.LIST and named:
        raise UsageError("list takes no names: show does")
    if action is Action.REDRIVE and not (named or group or kind):
        raise UsageError("say which letters to redrive: their names, or all open ones of a --group or --kind")
    wanted = [] if named else _all(stack, office, {"group": group, "kind": kind})
    if action is Action.LIST:
        emit({"letters": wanted}, lambda: _print(wanted), as_json=as_json)
        return
    _redrive(office, named or [letter["id"] for letter in wanted if letter["state"] == "open"], as_json=as_json)


def _all(stack: Stack, office: Office, asked: dict[str, str]) -> list[dict[str, Any]]:
    found = list(office.letters(**asked))
    became = asyncio.run(states(stack, found))
    return [
        {
            "id": letter["id"],
            "service": letter["group"],
            "topic": letter["topic"],
            "partition": letter["partition"],
            "offset": letter["offset"],
            "event_type": letter["event_type"],
            "kind": letter["kind"],
            "error": letter["why"],
            "attempts": letter["attempt"] + 1,
            "state": became[letter["id"]],
        }
        for letter in found
    ]


def _show(office: Office, named: list[str], *, as_json: bool) -> None:
    if len(named) != 1:
        raise UsageError("show takes the name of one letter: see `waybill dlq list`")
    letter = office.letter(named[0])
    emit({"letter": letter}, lambda: print(json.dumps(letter, indent=1)), as_json=as_json)


def _print(letters: list[dict[str, Any]]) -> None:
    for letter in letters:
        where = f"{letter['topic']}/{letter['partition']}/{letter['offset']}"
        print(f"{letter['id']:<22} {letter['state']:<10} {letter['kind']:<11} {where:<26} {letter['error']}")
    if not letters:
        print("no dead letters")


def _redrive(office: Office, ids: list[str], *, as_json: bool) -> None:
    refused = {each: why for each in ids if (why := office.redrive(each)) is not None}
    sent = [each for each in ids if each not in refused]
    data = {"redriven": sent, "refused": [{"id": each, "why": why} for each, why in refused.items()]}

    def render() -> None:
        for each in sent:
            print(f"{each} was sent back")
        for each, why in refused.items():
            print(f"{each} was not: {why}")
        if not ids:
            print("no open dead letters")

    emit(data, render, as_json=as_json)
    if refused:
        raise typer.Exit(1)
