"""Checkout's decisions: what an order costs, and which status follows which."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from contracts import Money, OrderLine, OrderStatus
from contracts.money import MAX_MINOR

# A status only moves forward by rank: events of different topics arrive in any order. Equal ranks exclude each other.
RANKS = {
    OrderStatus.PLACED: 0,
    OrderStatus.RESERVED: 1,
    OrderStatus.PAID: 2,
    OrderStatus.SHIPPED: 9,
    OrderStatus.REJECTED: 9,
    OrderStatus.DECLINED: 9,
    OrderStatus.EXPIRED: 9,
    OrderStatus.CANCELLED: 9,
}


class UnknownSkusError(Exception):
    """Some of the ordered skus have no price."""

    def __init__(self, skus: list[str]) -> None:
        super().__init__(f"there are no products {', '.join(skus)}")
        self.skus = skus


class TotalTooLargeError(Exception):
    """The lines cost more together than an amount can say."""


class MixedCurrenciesError(Exception):
    """The products of one order are priced in several currencies."""


def follows(new: OrderStatus, old: OrderStatus) -> bool:
    """Tell whether an order in status `old` moves on to `new`; late and doubled news change nothing."""
    return RANKS[new] > RANKS[old]


def priced(quantities: Iterable[tuple[str, int]], prices: Mapping[str, Money]) -> list[OrderLine]:
    """Return an order's lines with their unit prices; the same sku twice is one line."""
    wanted: Counter[str] = Counter()
    for sku, quantity in quantities:
        wanted[sku] += quantity
    if missing := sorted(wanted.keys() - prices.keys()):
        raise UnknownSkusError(missing)
    return [OrderLine(sku=sku, quantity=quantity, unit_price=prices[sku]) for sku, quantity in wanted.items()]


def total_of(lines: Iterable[OrderLine]) -> Money:
    """Return what the lines cost together.

    MixedCurrenciesError: they can't be added. TotalTooLargeError: the sum is beyond any amount.
    """
    lines = list(lines)
    currencies = {line.unit_price.currency for line in lines}
    if len(currencies) != 1:
        raise MixedCurrenciesError(f"one order can't be in {' and '.join(sorted(currencies))}")
    amount = sum(line.quantity * line.unit_price.amount_minor for line in lines)
    if amount > MAX_MINOR:
        raise TotalTooLargeError("no order can cost that much")
    return Money(amount_minor=amount, currency=currencies.pop())


def body_digest(body: Mapping[str, Any]) -> bytes:
    """Return a digest that is equal for requests that mean the same."""
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()
