"""Who a request comes from: the holder of its API key."""

from typing import Annotated

from fastapi import Depends, Request

from chassis import Problem
from payment_gateway.keys import OPERATOR, ApiKeys


async def client(request: Request) -> str:
    """Return which client asks; the operator only reads."""
    holder = _holder(request)
    if holder == OPERATOR:
        raise Problem(403, "forbidden", "The operator's key charges nobody.")
    return holder


async def operator(request: Request) -> None:
    """Let the operator pass and nobody else."""
    if _holder(request) != OPERATOR:
        raise Problem(403, "forbidden", "The ledger is the operator's to read.")


def _holder(request: Request) -> str:
    keys: ApiKeys = request.app.state.api_keys
    scheme, _, presented = request.headers.get("authorization", "").partition(" ")
    holder = keys.holder(presented.strip()) if scheme.lower() == "bearer" else None
    if holder is None:
        raise Problem(401, "unauthorized", "An API key is needed.", headers={"WWW-Authenticate": "Bearer"})
    return holder


Client = Annotated[str, Depends(client)]
OPERATOR_ONLY = Depends(operator)
