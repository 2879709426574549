"""`waybill up`: a whole stack."""

import time
from typing import Annotated

import typer

from waybill.local.layout import DEFAULT_BASE_PORT
from waybill.operate.status import Json, status
from waybill.output import progress
from waybill.parts import Auth, Parts, Wanted
from waybill.stacks import chosen


def up(  # noqa: PLR0913  # a command's options
    context: typer.Context,
    *,
    brokers: Annotated[int, typer.Option(min=1, max=3, help="How many Kafka brokers; fewer for tight machines.")] = 3,
    instances: Annotated[list[str] | None, typer.Option(help="More processes of a service: inventory=2.")] = None,
    base_port: Annotated[
        int, typer.Option(envvar="WAYBILL_BASE_PORT", min=1_024, max=65_000, help="First of the ports.")
    ] = DEFAULT_BASE_PORT,
    namespace: Annotated[str, typer.Option(envvar="WAYBILL_NAMESPACE", help="Prefix of topics, groups, users.")] = "",
    auth: Annotated[Auth, typer.Option(help="How Kafka knows its clients.")] = "scram",
    services: Annotated[bool, typer.Option(help="With the shop's services, or the infrastructure alone.")] = True,
    as_json: Json = False,
) -> None:
    """Start the stack, and return when everything is healthy. Ctrl-C, or SIGTERM, takes down what has started."""
    about_the_stack = ("brokers", "instances", "base_port", "namespace", "auth", "services")
    typed = [name for name in about_the_stack if _was_typed(context, name)]
    wanted = Wanted(brokers, tuple(instances or ()), base_port, namespace, auth, services, tuple(typed))
    bring_up(chosen(), wanted)
    status(as_json=as_json)


def bring_up(stack: Parts, wanted: Wanted) -> None:
    """Start a stack, with progress, and return when everything is healthy."""
    began = time.monotonic()
    stack.bring_up(wanted)
    progress(f"everything is healthy after {time.monotonic() - began:.0f} s")


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
