"""Inventory's HTTP interface, for operators: products, deliveries, stock levels."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from chassis.database import TheDatabase
from chassis.fields import PRINTABLE, Sku, WholeNumber
from chassis.problem_types import ASKING, CHANGING, refusals
from chassis.problems import Problem
from chassis.publishing import ThePublisher
from chassis.tokens import OperatorReads, OperatorWrites
from contracts import Money, ProductListed
from inventory import store
from inventory.problem_types import OWN

router = APIRouter(prefix="/v1", tags=["operators"])

COUNTED: dict[int | str, dict[str, Any]] = {200: {"description": "It was counted before"}}

MOST = 1_000
MOST_NAMED = 50  # in one address, which may have 64 KiB
NONE: list[str] = []


class ProductRequest(BaseModel, extra="forbid"):
    """A product and its price."""

    sku: Sku
    name: str = Field(max_length=200, pattern=PRINTABLE)
    unit_price: Money


class ProductsRequest(BaseModel, extra="forbid"):
    """Products to make or change."""

    products: list[ProductRequest] = Field(min_length=1, max_length=MOST)


class DeliveryLine(BaseModel, extra="forbid"):
    """So many units of a product."""

    sku: Sku
    quantity: WholeNumber = Field(ge=1, le=1_000_000_000)


class ReceiptRequest(BaseModel, extra="forbid"):
    """A delivery; its id counts it once, however often it is sent."""

    receipt_id: UUID
    lines: list[DeliveryLine] = Field(min_length=1, max_length=MOST)


@router.post("/products", responses=refusals(*CHANGING, "too-large", "in-flight"))
async def list_products(asked: ProductsRequest, _: OperatorWrites, publisher: ThePublisher) -> dict[str, int]:
    """Make or change products; the shop learns of them through the `products` topic."""
    products = list({each.sku: ProductListed(**each.model_dump()) for each in asked.products}.values())
    async with publisher.publication() as publication:
        await store.save_products(publication.connection, products)
        await publication.tell(*products, correlation_id=products[0].sku)
    return {"listed": len(products)}


@router.post(
    "/stock-receipts",
    status_code=HTTPStatus.CREATED,
    responses=COUNTED | refusals(*CHANGING, "unknown-sku", "in-flight", own=OWN),
)
async def receive_stock(
    asked: ReceiptRequest, _: OperatorWrites, database: TheDatabase, response: Response
) -> dict[str, Any]:
    """Count a delivery into the stock: 201 the first time, 200 when it was counted before."""
    units: dict[str, int] = {}
    for line in asked.lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    async with database.transaction() as connection:
        if unknown := await store.unknown(connection, list(units)):
            detail = f"there are no products {', '.join(unknown)}"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-sku", detail, skus=unknown)
        new = await store.receive(connection, asked.receipt_id, units)
    if not new:
        response.status_code = HTTPStatus.OK
    return {"receipt_id": str(asked.receipt_id), "counted": new}


@router.get("/stock", responses=refusals(*ASKING))
async def read_stock(
    _: OperatorReads, database: TheDatabase, sku: Annotated[list[Sku], Query(max_length=MOST_NAMED)] = NONE
) -> dict[str, list[dict[str, Any]]]:
    """Return where the units of these products are."""
    async with database.statements() as connection:
        return {"items": await store.levels(connection, sku, MOST)}
