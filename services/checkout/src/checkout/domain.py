"""Checkout's decisions: what an order costs, which status follows which, and when a cancellation is too late."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

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


ENDS = frozenset(status for status, rank in RANKS.items() if rank == max(RANKS.values()))


class Cancellation(StrEnum):
    """What a customer's wish to cancel has come to; fulfillment answers it."""

    ASKED = "asked"
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(slots=True)
class Progress:
    """How far an order is; while a cancellation is unanswered, an end that comes is withheld."""

    status: OrderStatus
    cancellation: Cancellation | None = None
    withheld: OrderStatus | None = None

    def ask(self) -> bool:
        """Take the customer's wish to cancel; False where the order has ended. Asking again changes nothing."""
        if self.status in ENDS:
            return False
        self.cancellation = self.cancellation or Cancellation.ASKED
        return True

    def learn(self, news: OrderStatus) -> bool:
        """Take news of the order; return whether the status has moved on. Late and doubled news change nothing."""
        if news in ENDS and self.cancellation is Cancellation.ASKED:
            if self.withheld is not OrderStatus.SHIPPED:  # what has left has left, whatever else is said
                self.withheld = news
            return False
        return self._advance(news)

    def answer(self, answer: Cancellation) -> bool:
        """Take fulfillment's answer, once; return whether the status has moved on."""
        if self.cancellation in {Cancellation.GRANTED, Cancellation.REFUSED}:
            return False
        end = OrderStatus.CANCELLED if answer is Cancellation.GRANTED else self.withheld
        self.cancellation, self.withheld = answer, None
        return end is not None and self._advance(end)

    def _advance(self, news: OrderStatus) -> bool:
        if not follows(news, self.status):
            return False
        self.status = news
        return True


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
