"""One of the servers that placing.py compares: `placing_server.py checkout|bare`, as the environment says.

`checkout` is the service as shipped, without Kafka behind it: its outbox grows. `bare` is what FastAPI and one insert
cost.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import text

import chassis
from chassis.collecting import settle
from chassis.database import Database
from chassis.limiting import Backlog
from chassis.publishing import Publisher
from chassis.settings import ServiceSettings
from checkout import api, reads
from checkout.prices import RememberedPrices
from checkout.queue import queues
from checkout.settings import Settings
from contracts import OrderCancelled, OrderPlaced
from exactly_once import Codec, Outbox
from exactly_once.testing import MemorySchemas

NO_LIMIT = 1_000_000_000


class _Deaf:
    """Stands in the relay's place: nothing is published, since Kafka's cost is measured elsewhere."""

    def wake(self) -> None:
        """Do nothing."""


def checkout(settings: Settings) -> FastAPI:
    """Return checkout without its loop and its relay."""
    app = chassis.create_app(
        settings,
        routers=[api.router, reads.router],
        queues=queues(NO_LIMIT),
        state={"prices": RememberedPrices()},
    )
    outbox = Outbox(asyncio.run(_codec()))
    served = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with served(app):
            backlog = Backlog(partial(outbox.exceeds, most=NO_LIMIT), "the outbox is full")
            app.state.publisher = Publisher(app.state.database, outbox, _Deaf(), backlog)  # type: ignore[arg-type]  # all that is asked of it
            yield

    app.router.lifespan_context = lifespan
    return app


async def _codec() -> Codec:
    return await Codec.open(MemorySchemas(), "/bench", emits=[OrderPlaced, OrderCancelled], handles=[], prefix="")


class Order(BaseModel):
    """What the bare server takes."""

    lines: list[dict[str, Any]]
    payment_token: str


def bare(settings: ServiceSettings) -> FastAPI:
    """Return FastAPI with one insert a request, and nothing else of what checkout promises."""
    app = FastAPI()
    database = Database(settings)
    insert = text("INSERT INTO bare (body) VALUES (:body)")

    @app.post("/v1/orders", status_code=202)
    async def place(order: Order) -> dict[str, str]:
        async with database.transaction() as connection:
            await connection.execute(insert, {"body": order.model_dump_json()})
        return {"status": "placed"}

    return app


def main(name: str) -> None:
    """Serve until SIGTERM."""
    settings = Settings()
    if name == "checkout":
        chassis.serve(checkout(settings), settings)
        return
    app = bare(settings)
    settle()
    uvicorn.run(
        app,
        port=settings.http_port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main(sys.argv[1])
