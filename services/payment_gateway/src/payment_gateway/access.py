"""Who a request comes from: the holder of its API key."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from payment_gateway.keys import OPERATOR, ApiKeys

Presented = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]


async def keys(request: Request) -> ApiKeys:
    """Return the keys that main gave the app."""
    known: ApiKeys = request.app.state.api_keys
    return known


async def holder(presented: Presented, known: Annotated[ApiKeys, Depends(keys)]) -> str:
    """Return who asks, or answer 401."""
    who = known.holder(presented.credentials) if presented else None
    if who is None:
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED, "an API key is needed", headers={"WWW-Authenticate": "Bearer"}
        )
    return who


Holder = Annotated[str, Depends(holder)]


async def client(who: Holder) -> str:
    """Return which client asks; the operator only reads."""
    if who == OPERATOR:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the operator's key charges nobody")
    return who


async def operator(who: Holder) -> None:
    """Let the operator pass and nobody else."""
    if who != OPERATOR:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the ledger is the operator's to read")


Client = Annotated[str, Depends(client)]
OPERATOR_ONLY = Depends(operator)
