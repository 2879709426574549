"""The stand-in's way to its database: each of its statements is a transaction by itself."""

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine


async def engine(request: Request) -> AsyncEngine:
    """Return the chassis's engine without the round trips for BEGIN and COMMIT."""
    opened: AsyncEngine = request.app.state.database.engine
    return opened.execution_options(isolation_level="AUTOCOMMIT")


Engine = Annotated[AsyncEngine, Depends(engine)]
