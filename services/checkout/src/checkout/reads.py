"""What customers see of their orders and of the shop's prices."""

import datetime as dt
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel

from chassis.database import TheDatabase
from chassis.fields import PRINTABLE_OR_EMPTY
from chassis.problem_types import ASKING, refusals
from chassis.problems import Problem
from chassis.tokens import Customer, CustomerOrOperator
from checkout import store
from checkout.problem_types import OWN
from checkout.watching import Standing, TheWatch, Watch
from contracts import Money, OrderLine

router = APIRouter(prefix="/v1", tags=["orders"], responses=refusals(*ASKING))

HEARTBEAT_S = 15.0
NO_CONTENT: dict[int | str, dict[str, Any]] = {204: {"description": "It has ended, and you know: stop asking"}}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "As it was when you were given this ETag"}}
NOT_FOUND = refusals("order-not-found", own=OWN)
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most")]
AfterSku = Annotated[str, Query(max_length=100, pattern=PRINTABLE_OR_EMPTY, description="The last of the page before")]
Tags = Annotated[str | None, Header(alias="If-None-Match", max_length=1_000)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]


class OrderAnswer(BaseModel):
    """An order as its customer sees it."""

    order_id: UUID
    status: str
    total: Money
    links: dict[str, str]


class OrderSummary(OrderAnswer):
    """An order in a list; `cancellation` is asked, granted or refused once the customer wanted one."""

    cancellation: str | None
    placed_at: dt.datetime


class OrderDetails(OrderSummary):
    """An order with its lines."""

    customer_id: str
    lines: list[OrderLine]


class OrdersAnswer(BaseModel):
    """Orders, the newest first; `links.next` where there are more."""

    orders: list[OrderSummary]
    links: dict[str, str]


class Product(BaseModel):
    """What can be ordered, and for how much."""

    sku: str
    name: str
    unit_price: Money


class ProductsAnswer(BaseModel):
    """Products by sku; `links.next` where there are more."""

    products: list[Product]
    links: dict[str, str]


def answered(order_id: UUID, status: str, total: Money) -> OrderAnswer:
    """Return an order's answer with its links."""
    path = f"/v1/orders/{order_id}"
    return OrderAnswer(order_id=order_id, status=status, total=total, links={"self": path, "events": f"{path}/events"})


def not_found(order_id: UUID) -> Problem:
    """Return what is said of an order that is not there, or not the asker's."""
    return Problem(HTTPStatus.NOT_FOUND, "order-not-found", f"there is no order {order_id}")


async def _own_order(order_id: UUID, asker: CustomerOrOperator, database: TheDatabase) -> Any:
    """Return the row of an order that the asker may see. Problem 404: another customer's is not found."""
    async with database.statements() as connection:
        found = await store.order(connection, order_id)
    if found is None or ("ops:read" not in asker.scopes and found.customer_id != asker.subject):
        raise not_found(order_id)
    return found


OwnOrder = Annotated[Any, Depends(_own_order)]


@router.get("/orders")
async def list_orders(
    customer: Customer, database: TheDatabase, after: UUID | None = None, limit: Limit = 50
) -> OrdersAnswer:
    """Return the customer's orders, the newest first; `after` is the last order of the page before."""
    async with database.statements() as connection:
        rows = await store.orders_of(connection, customer.subject, after, limit + 1)
    orders = [OrderSummary(**_summary(row)) for row in rows[:limit]]
    following = f"/v1/orders?after={orders[-1].order_id}&limit={limit}" if len(rows) > limit else None
    return OrdersAnswer(orders=orders, links={"next": following} if following else {})


@router.get("/orders/{order_id}", response_model=OrderDetails, responses=NOT_MODIFIED | NOT_FOUND)  # noqa: FAST003  # OwnOrder has it
async def read_order(
    found: OwnOrder, database: TheDatabase, response: Response, known: Tags = None
) -> OrderDetails | Response:
    """Return an order; another customer's is not found."""
    headers = {"ETag": f'"{_standing(found).tag}"', "Cache-Control": "private, no-cache"}
    if known and headers["ETag"] in {each.strip().removeprefix("W/") for each in known.split(",")}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    async with database.statements() as connection:
        lines = await store.lines(connection, found)
    response.headers.update(headers)
    return OrderDetails(**_summary(found), customer_id=found.customer_id, lines=lines)


@router.get("/orders/{order_id}/events", response_class=StreamingResponse, responses=STREAM | NO_CONTENT | NOT_FOUND)  # noqa: FAST003  # likewise
async def watch_order(found: OwnOrder, watch: TheWatch, known: LastEventId = None) -> Response:
    """Stream an order's status as server-sent events: what it is now, then each change, until its end.

    An event's id is the standing that it tells of: who comes back with `Last-Event-ID` is not told again, and gets 204
    where there is nothing left to tell.
    """
    now = _standing(found)
    if now.ended and known == now.tag:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(watch, found, now, known), media_type="text/event-stream", headers=headers)


async def _events(watch: Watch, found: Any, now: Standing, known: str | None) -> AsyncIterator[bytes]:
    yield b": watching\n\n" if known == now.tag else _event(found.order_id, now)
    async for standing in watch.changes(found.order_id, now, HEARTBEAT_S):
        yield b": still here\n\n" if standing is None else _event(found.order_id, standing)


def _event(order_id: UUID, standing: Standing) -> bytes:
    data = _Told(order_id=order_id, status=standing.status, cancellation=standing.cancellation).model_dump_json()
    return format_sse_event(event="status", id=standing.tag, data_str=data)


class _Told(BaseModel):
    order_id: UUID
    status: str
    cancellation: str | None


@router.get("/products", tags=["products"])
async def list_products(_: Customer, database: TheDatabase, after: AfterSku = "", limit: Limit = 50) -> ProductsAnswer:
    """Return what can be ordered, by sku; `after` is the last sku of the page before."""
    async with database.statements() as connection:
        rows = await store.products(connection, after, limit + 1)
    products = [
        Product(sku=row.sku, name=row.name, unit_price=Money(amount_minor=row.unit_price_minor, currency=row.currency))
        for row in rows[:limit]
    ]
    following = f"/v1/products?after={quote(products[-1].sku)}&limit={limit}" if len(rows) > limit else None
    return ProductsAnswer(products=products, links={"next": following} if following else {})


def _summary(row: Any) -> dict[str, Any]:
    total = Money(amount_minor=row.total_minor, currency=row.currency)
    shown = answered(row.order_id, row.status, total).model_dump()
    return shown | {"cancellation": row.cancellation, "placed_at": row.placed_at}


def _standing(row: Any) -> Standing:
    return Standing(row.status, row.cancellation)
