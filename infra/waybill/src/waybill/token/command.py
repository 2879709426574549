"""`waybill token`: a token to try the HTTP interface with."""

from typing import Annotated

import typer

from waybill.errors import UsageError
from waybill.local.keys import rotate_token_key
from waybill.output import emit
from waybill.stack import Stack
from waybill.stacks import chosen
from waybill.token.signing import DAY_S, Signer


def token(
    *,
    customer: Annotated[str, typer.Option(help="Whose orders it places.")] = "",
    operator: Annotated[bool, typer.Option("--operator", help="An operator's instead.")] = False,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds that it is good for.")] = DAY_S,
    rotate_key: Annotated[bool, typer.Option("--rotate-key", help="Sign with a new key from now on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print a token for a customer or for an operator."""
    if [bool(customer), operator, rotate_key].count(True) != 1:
        raise UsageError("say whose token: --customer NAME or --operator; or --rotate-key")
    if rotate_key:
        _rotate(as_json=as_json)
        return
    signer = Signer(Stack.load())
    made = signer.operator(ttl) if operator else signer.customer(customer, ttl)
    emit({"token": made, "expires_in_s": ttl}, lambda: print(made), as_json=as_json)


def _rotate(*, as_json: bool) -> None:
    stack = chosen()
    new, old = rotate_token_key(Stack.load().home)
    stack.renew()
    said = f"{new} signs from now on; tokens that {old} signed are good until the next rotation, or until they expire"
    emit({"signs": new, "trusted": [new, old]}, lambda: print(said), as_json=as_json)
