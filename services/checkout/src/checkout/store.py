"""Checkout's statements: one round trip each, set-based."""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.statement import Statement
from checkout.domain import Cancellation, Progress
from contracts import Money, OrderLine, OrderPlaced, OrderStatus, ProductListed
from exactly_once import Event
from exactly_once.outbox import insertion

_QUOTE = Statement("""
SELECT EXISTS (SELECT FROM idempotency_keys WHERE customer_id = :customer_id AND key = :key) AS is_claimed,
    p.sku, p.unit_price_minor, p.currency
FROM (VALUES (1)) AS one LEFT JOIN products p ON p.sku = ANY(CAST(:skus AS text[]))""")

_KEY = text("""
SELECT k.body_digest, o.* FROM idempotency_keys k JOIN orders o USING (order_id)
WHERE k.customer_id = :customer_id AND k.key = :key""")

# All that an order is, or nothing: at prices that stand, and where the key is free. A twin under way makes the claim
# wait, and then it is not claimed here.
_PLACE = Statement(f"""
WITH priced AS (
    SELECT NOT EXISTS (
        SELECT FROM unnest(CAST(:skus AS text[]), CAST(:prices AS bigint[])) AS l(sku, price)
        LEFT JOIN products p ON p.sku = l.sku AND p.unit_price_minor = l.price AND p.currency = :currency
        WHERE p.sku IS NULL) AS rightly),
claimed AS (
    INSERT INTO idempotency_keys (customer_id, key, body_digest, order_id)
    SELECT :customer_id, :key, :body_digest, :order_id FROM priced WHERE rightly
    ON CONFLICT (customer_id, key) DO NOTHING RETURNING order_id),
placed AS (
    INSERT INTO orders (order_id, customer_id, status, total_minor, currency, placed_at)
    SELECT order_id, :customer_id, 'placed', :total_minor, :currency, :placed_at FROM claimed),
lined AS (
    INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
    SELECT order_id, l.line_no, l.sku, l.quantity, l.price
    FROM claimed, unnest(CAST(:skus AS text[]), CAST(:quantities AS bigint[]), CAST(:prices AS bigint[]))
        WITH ORDINALITY AS l(sku, quantity, price, line_no)),
told AS ({insertion("EXISTS (SELECT FROM claimed)")})
SELECT EXISTS (SELECT FROM claimed) AS is_placed, rightly FROM priced""")  # noqa: S608  # of constants

_ORDER = text("SELECT * FROM orders WHERE order_id = :order_id")
_LINES = text("SELECT sku, quantity, unit_price_minor FROM order_lines WHERE order_id = :order_id ORDER BY line_no")

_ORDERS_OF = text("""
SELECT * FROM orders WHERE customer_id = :customer_id AND (CAST(:after AS uuid) IS NULL OR number < (
    SELECT number FROM orders WHERE order_id = :after AND customer_id = :customer_id))
ORDER BY number DESC LIMIT :most""")
_STANDINGS = text("SELECT order_id, status, cancellation FROM orders WHERE order_id = ANY(CAST(:order_ids AS uuid[]))")
_PRODUCTS = text("SELECT * FROM products WHERE sku > :after ORDER BY sku LIMIT :most")

_STAND = text("SELECT * FROM orders WHERE order_id = :order_id FOR UPDATE")
_ASK = text("UPDATE orders SET cancellation = 'asked' WHERE order_id = :order_id")

_SET_PRODUCTS = text("""
INSERT INTO products (sku, name, unit_price_minor, currency)
SELECT p.*
FROM unnest(CAST(:skus AS text[]), CAST(:names AS text[]), CAST(:prices AS bigint[]), CAST(:currencies AS text[]))
    AS p(sku, name, unit_price_minor, currency) ORDER BY p.sku
ON CONFLICT (sku) DO UPDATE SET (name, unit_price_minor, currency) =
    (excluded.name, excluded.unit_price_minor, excluded.currency)""")


class Claimed(NamedTuple):
    """What a customer's idempotency key stands for already."""

    body_digest: bytes
    order: Any


class Claim(NamedTuple):
    """What a request wants its idempotency key to stand for."""

    customer_id: str
    key: str
    body_digest: bytes
    order_id: UUID


class Placing(Enum):
    """What came of placing an order; but for the first, nothing was changed."""

    DONE = auto()
    KEY_IS_TAKEN = auto()
    PRICES_HAVE_MOVED = auto()


async def quote(connection: AsyncConnection, claim: Claim, skus: Collection[str]) -> dict[str, Money] | None:
    """Return the prices of these skus, as far as there are any; None: the claim's key stands for something already."""
    asked = {"customer_id": claim.customer_id, "key": claim.key, "skus": list(skus)}
    rows = await _QUOTE.rows(connection, asked)
    if rows[0]["is_claimed"]:
        return None
    return {
        row["sku"]: Money(amount_minor=row["unit_price_minor"], currency=row["currency"])
        for row in rows
        if row["sku"] is not None
    }


async def claimed(connection: AsyncConnection, customer_id: str, key: str) -> Claimed | None:
    """Return what a key stands for, None for a new one."""
    row = (await connection.execute(_KEY, {"customer_id": customer_id, "key": key})).first()
    return Claimed(bytes(row.body_digest), row) if row else None


async def place(connection: AsyncConnection, claim: Claim, order: OrderPlaced, told: Mapping[str, Any]) -> Placing:
    """Claim the key, insert the order with its lines, and put what tells of it, if its prices are the products'.

    Waits for a twin under way, and gives up with the lock's time-out.
    """
    places = {
        "total_minor": order.total.amount_minor,
        "currency": order.total.currency,
        "placed_at": order.placed_at,
        "skus": [line.sku for line in order.lines],
        "quantities": [line.quantity for line in order.lines],
        "prices": [line.unit_price.amount_minor for line in order.lines],
    }
    ((is_placed, rightly),) = await _PLACE.rows(connection, {**claim._asdict(), **places, **told})
    if not rightly:
        return Placing.PRICES_HAVE_MOVED
    return Placing.DONE if is_placed else Placing.KEY_IS_TAKEN


async def order(connection: AsyncConnection, order_id: UUID) -> Any:
    """Return an order's row, None where there is none."""
    return (await connection.execute(_ORDER, {"order_id": order_id})).first()


async def lines(connection: AsyncConnection, order: Any) -> list[OrderLine]:
    """Return the lines of an order's row."""
    rows = await connection.execute(_LINES, {"order_id": order.order_id})
    return [
        OrderLine(sku=sku, quantity=quantity, unit_price=Money(amount_minor=minor, currency=order.currency))
        for sku, quantity, minor in rows
    ]


async def orders_of(connection: AsyncConnection, customer_id: str, after: UUID | None, most: int) -> Sequence[Any]:
    """Return rows of a customer's orders, the newest first, from the one behind `after` on."""
    places = {"customer_id": customer_id, "after": after, "most": most}
    return (await connection.execute(_ORDERS_OF, places)).all()


async def standings(connection: AsyncConnection, order_ids: Collection[UUID]) -> Sequence[Any]:
    """Return the id, status and cancellation of these orders."""
    return (await connection.execute(_STANDINGS, {"order_ids": list(order_ids)})).all()


async def products(connection: AsyncConnection, after: str, most: int) -> Sequence[Any]:
    """Return rows of the price list by sku, from the one behind `after` on."""
    return (await connection.execute(_PRODUCTS, {"after": after, "most": most})).all()


async def stand(connection: AsyncConnection, order_id: UUID) -> tuple[Any, Progress] | None:
    """Return an order and how far it is, under its row's lock; None where there is none."""
    found = (await connection.execute(_STAND, {"order_id": order_id})).first()
    return found and (found, progress_of(found))


async def ask_to_cancel(connection: AsyncConnection, order_id: UUID) -> None:
    """Note that a cancellation was accepted."""
    await connection.execute(_ASK, {"order_id": order_id})


def progress_of(row: Any) -> Progress:
    """Return how far an order is, by its row."""
    return Progress(
        OrderStatus(row.status),
        Cancellation(row.cancellation) if row.cancellation else None,
        OrderStatus(row.withheld) if row.withheld else None,
    )


class PriceList:
    """The working set of the price list: what a batch of listings says last of each product."""

    def __init__(self) -> None:
        self._listed: dict[str, ProductListed] = {}

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:  # noqa: ARG003
        """Need nothing: a listing replaces what was known."""
        return cls()

    def take(self, product: ProductListed) -> None:
        """Take a product's name and price."""
        self._listed[product.sku] = product

    async def save(self, connection: AsyncConnection) -> None:
        """Write every product that was listed."""
        products = list(self._listed.values())
        places = {
            "skus": [product.sku for product in products],
            "names": [product.name for product in products],
            "prices": [product.unit_price.amount_minor for product in products],
            "currencies": [product.unit_price.currency for product in products],
        }
        await connection.execute(_SET_PRODUCTS, places)
