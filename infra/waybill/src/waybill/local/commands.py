"""`waybill up`: a whole stack."""

import time
from typing import Annotated

import typer

from exactly_once import Auth
from waybill.home import home_folder
from waybill.local import control
from waybill.local.layout import DEFAULT_BASE_PORT, Options, cache_folder, checked
from waybill.local.status import Json, status
from waybill.output import progress


def up(  # noqa: PLR0913  # a command's options
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
    """Start the stack, and return when everything is healthy. Ctrl-C takes down what has started."""
    options = Options(
        home=home_folder(),
        cache=cache_folder(),
        base_port=base_port,
        namespace=namespace,
        brokers=brokers,
        instances=checked(namespace, instances or []),
        with_services=services,
        auth=auth,
    )
    bring_up(options)
    status(as_json=as_json)


def bring_up(options: Options) -> None:
    """Start a stack, with progress, and return when everything is healthy."""
    began = time.monotonic()
    control.bring_up(options)
    progress(f"everything is healthy after {time.monotonic() - began:.0f} s")
