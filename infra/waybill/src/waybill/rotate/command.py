"""`waybill rotate`: a new password or certificate, while everything runs."""

from collections.abc import Callable
from typing import Annotated, Literal

import typer

from contracts import OPERATOR, USERS
from waybill.errors import UsageError
from waybill.output import emit
from waybill.rotate import Renewal
from waybill.rotate.certificates import rotate_broker_certificate, rotate_user_certificate
from waybill.rotate.passwords import rotate_password
from waybill.seen import brokers
from waybill.stack import Stack
from waybill.stacks import chosen

Kind = Literal["password", "certificate"]
Rotation = Callable[[Stack, str, Renewal], list[str]]


def rotate(
    kind: Annotated[Kind, typer.Argument(help="What to change.")],
    name: Annotated[str, typer.Argument(help="Whose: a service, auditor, operator; or kafka-N, kafka for all.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Change a password or a certificate at Kafka while orders flow. Exits 1 while a broker does not know it."""
    stack, renew = Stack.load(), chosen().renew
    names = list(brokers(stack)) if name == "kafka" else [name]
    change = _rotation(stack, kind, names[0])
    behind = {each: unaware for each in names if (unaware := change(stack, each, renew))}
    data = {"ok": not behind, "kind": kind, "rotated": names, "behind": behind}
    emit(data, lambda: _print(kind, names, behind), as_json=as_json)
    raise typer.Exit(1 if behind else 0)


def _rotation(stack: Stack, kind: Kind, name: str) -> Rotation:
    """Return how it is changed. UsageError: there is no such thing in this stack."""
    if kind == "certificate" and name in brokers(stack):
        return rotate_broker_certificate
    if name not in (*USERS, OPERATOR):
        known = ", ".join((*USERS, OPERATOR, "kafka", *brokers(stack)) if kind == "certificate" else (*USERS, OPERATOR))
        raise UsageError(f"there is no {name} with a {kind} at Kafka; there are {known}")
    if kind == "password" and stack.kafka_auth == "scram":
        return rotate_password
    if kind == "certificate" and stack.kafka_auth == "mtls":
        return rotate_user_certificate
    raise UsageError(f"{name} has no {kind} at Kafka: this stack was started with --auth {stack.kafka_auth}")


def _print(kind: Kind, names: list[str], behind: dict[str, list[str]]) -> None:
    for name in names:
        unaware = ", ".join(behind.get(name, []))
        print(f"{name} has a new {kind}" + (f"; not known yet to {unaware}: see `waybill status`" if unaware else ""))
