"""The statements of inventory's HTTP interface; stock rows are always locked in the order of their skus."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts import ProductListed

_SAVE_PRODUCTS = text("""
INSERT INTO products (sku, name, unit_price_minor, currency)
SELECT p.*
FROM unnest(CAST(:skus AS text[]), CAST(:names AS text[]), CAST(:prices AS bigint[]), CAST(:currencies AS text[]))
    AS p(sku, name, unit_price_minor, currency) ORDER BY p.sku
ON CONFLICT (sku) DO UPDATE SET (name, unit_price_minor, currency) =
    (excluded.name, excluded.unit_price_minor, excluded.currency)""")

_UNKNOWN = text("""
SELECT s.sku FROM unnest(CAST(:skus AS text[])) AS s(sku) LEFT JOIN products p USING (sku) WHERE p.sku IS NULL""")

_RECEIPT = text("INSERT INTO stock_receipts (receipt_id) VALUES (:receipt_id) ON CONFLICT DO NOTHING RETURNING 1")

# Rows are inserted or updated in the order of their skus, the order in which the working set locks them.
_RECEIVE = text("""
INSERT INTO stock AS s (sku, received, free, held, shipped)
SELECT r.sku, r.units, r.units, 0, 0 FROM unnest(CAST(:skus AS text[]), CAST(:units AS bigint[])) AS r(sku, units)
ORDER BY r.sku
ON CONFLICT (sku) DO UPDATE SET received = s.received + excluded.received, free = s.free + excluded.free""")

_LEVELS = text("SELECT * FROM stock WHERE :everything OR sku = ANY(CAST(:skus AS text[])) ORDER BY sku LIMIT :most")


async def save_products(connection: AsyncConnection, products: Sequence[ProductListed]) -> None:
    """Insert or change products."""
    places = {
        "skus": [product.sku for product in products],
        "names": [product.name for product in products],
        "prices": [product.unit_price.amount_minor for product in products],
        "currencies": [product.unit_price.currency for product in products],
    }
    await connection.execute(_SAVE_PRODUCTS, places)


async def unknown(connection: AsyncConnection, skus: Sequence[str]) -> list[str]:
    """Return those of these skus that are no product."""
    return list((await connection.execute(_UNKNOWN, {"skus": list(skus)})).scalars())


async def receive(connection: AsyncConnection, receipt_id: UUID, units: Mapping[str, int]) -> bool:
    """Count a delivery, once; False: it was counted before."""
    if (await connection.execute(_RECEIPT, {"receipt_id": receipt_id})).first() is None:
        return False
    await connection.execute(_RECEIVE, {"skus": list(units), "units": list(units.values())})
    return True


async def levels(connection: AsyncConnection, skus: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Return the stock of these skus, of all where none is named."""
    rows = await connection.execute(_LEVELS, {"skus": list(skus), "everything": not skus, "most": most})
    return [dict(row) for row in rows.mappings()]
