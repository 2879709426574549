"""`waybill token`: a token to try the HTTP interface with."""

from typing import Annotated

import typer

from waybill.errors import UsageError
from waybill.output import emit
from waybill.stack import Stack
from waybill.token.signing import DAY_S, Signer


def token(
    *,
    customer: Annotated[str, typer.Option(help="Whose orders it places.")] = "",
    operator: Annotated[bool, typer.Option("--operator", help="An operator's instead.")] = False,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds that it is good for.")] = DAY_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print a token for a customer or for an operator."""
    if bool(customer) == operator:
        raise UsageError("say whose token: --customer NAME or --operator")
    signer = Signer(Stack.load())
    made = signer.operator(ttl) if operator else signer.customer(customer, ttl)
    emit({"token": made, "expires_in_s": ttl}, lambda: print(made), as_json=as_json)
