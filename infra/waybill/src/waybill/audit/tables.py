"""Reads the shop's own tables, each service's from one snapshot of its database."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import asyncpg

from waybill.audit.shop import Cancellation, Lines, Order, Payment, Reservation, Shipment, Stock

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

Columns = Mapping[str, Any]


async def of_checkout(connection: "Connection") -> Columns:
    """Return orders, idempotency keys and checkout's copy of the prices."""
    lines = await _lines(connection, "SELECT order_id::text, sku, quantity FROM order_lines")
    orders = await connection.fetch(_ORDERS)
    return {
        "orders": {
            order_id: Order._make((*columns, lines.get(order_id, {}), cancellation, withheld))
            for order_id, *columns, cancellation, withheld in orders
        },
        "keys": [tuple(row) for row in await connection.fetch(_KEYS)],
        "keys_since_us": await connection.fetchval(_KEYS_SINCE),
        "prices": await _prices(connection),
    }


async def of_inventory(connection: "Connection") -> Columns:
    """Return stock, reservations and products."""
    lines = await _lines(connection, "SELECT order_id::text, sku, quantity FROM reservation_lines")
    reservations = await connection.fetch(
        "SELECT order_id::text, customer_id, state, paid, expiry_told FROM reservations"
    )
    stock = await connection.fetch("SELECT sku, received, free, held, shipped FROM stock")
    return {
        "stock": {sku: Stock(*columns) for sku, *columns in stock},
        "reservations": {
            order_id: Reservation(customer_id, state, lines.get(order_id, {}), paid, expiry_told)
            for order_id, customer_id, state, paid, expiry_told in reservations
        },
        "products": await _prices(connection),
    }


async def of_accounting(connection: "Connection") -> Columns:
    """Return payments; what is not known yet is 0 or empty."""
    payments = await connection.fetch(
        "SELECT order_id::text, customer_id, state, coalesce(amount_minor, 0), coalesce(currency, ''),"
        " coalesce(charge_id, ''), coalesce(invoice_number, ''), coalesce(refund_id, ''),"
        " reserved, voided FROM payments"
    )
    return {"payments": {order_id: Payment(*columns) for order_id, *columns in payments}}


async def of_fulfillment(connection: "Connection") -> Columns:
    """Return shipments, and what was decided about cancellations."""
    lines = await _lines(connection, "SELECT order_id::text, sku, quantity FROM shipment_lines")
    shipments = await connection.fetch("SELECT order_id::text, customer_id, shipment_id::text FROM shipments")
    cancellations = await connection.fetch("SELECT order_id::text, customer_id, granted FROM cancellations")
    return {
        "shipments": {
            order_id: Shipment._make((*columns, lines.get(order_id, {}))) for order_id, *columns in shipments
        },
        "cancellations": {
            order_id: Cancellation(customer_id, granted) for order_id, customer_id, granted in cancellations
        },
    }


READERS = {
    "checkout": of_checkout,
    "inventory": of_inventory,
    "accounting": of_accounting,
    "fulfillment": of_fulfillment,
}

_ORDERS = """
SELECT o.order_id::text, o.customer_id, o.status, o.total_minor, o.currency,
       (extract(epoch FROM o.placed_at) * 1000000)::bigint,
       (extract(epoch FROM coalesce(k.created_at, o.placed_at)) * 1000000)::bigint,
       coalesce(o.cancellation, ''), coalesce(o.withheld, '')
FROM orders o LEFT JOIN idempotency_keys k USING (order_id)"""

_KEYS = "SELECT customer_id, key, order_id::text FROM idempotency_keys"

# Checkout promises a day; an order's time is noted by another clock, and a little before its key's.
_KEYS_SINCE = "SELECT (extract(epoch FROM now() - interval '23 hours 59 minutes') * 1000000)::bigint"


async def _lines(connection: "Connection", query: str) -> Mapping[str, Lines]:
    lines: dict[str, Counter[str]] = defaultdict(Counter)
    for order_id, sku, quantity in await connection.fetch(query):
        lines[order_id][sku] += quantity
    return lines


async def _prices(connection: "Connection") -> Mapping[str, tuple[int, str]]:
    rows = await connection.fetch("SELECT sku, unit_price_minor, currency FROM products")
    return {sku: (amount, currency) for sku, amount, currency in rows}
