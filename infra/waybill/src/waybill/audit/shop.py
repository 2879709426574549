"""The shop's rows as the audit reads them: ids as text, amounts in minor units, lines as a multiset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Lines = Mapping[str, int]  # how many of each sku

TERMINAL = frozenset({"shipped", "rejected", "declined", "expired", "cancelled"})


class Order(NamedTuple):
    """A row of checkout's orders; `begun_at_us` is when the transaction that placed it began.

    `cancellation` is asked, granted or refused, `withheld` the end that waits for its answer, both empty for none.
    """

    customer_id: str
    status: str
    total_minor: int
    currency: str
    placed_at_us: int
    begun_at_us: int
    lines: Lines
    cancellation: str = ""
    withheld: str = ""


class Stock(NamedTuple):
    """A row of inventory's stock."""

    received: int
    free: int
    held: int
    shipped: int


class Reservation(NamedTuple):
    """A row of inventory's reservations, with its lines."""

    customer_id: str
    state: str
    lines: Lines
    paid: bool = False
    expiry_told: bool = False


class Payment(NamedTuple):
    """A row of accounting's payments; empty text for what is not there yet."""

    customer_id: str
    state: str
    amount_minor: int
    currency: str
    charge_id: str
    invoice_number: str
    refund_id: str = ""
    reserved: bool = False
    voided: bool = False


class Shipment(NamedTuple):
    """A row of fulfillment's shipments, with its lines."""

    customer_id: str
    shipment_id: str
    lines: Lines


class Cancellation(NamedTuple):
    """A row of fulfillment's cancellations."""

    customer_id: str
    granted: bool


class Entry(NamedTuple):
    """An entry of the gateway's ledger; `order_id` is its reference."""

    order_id: str
    kind: str
    amount_minor: int
    currency: str
    charge_id: str
    idempotency_key: str
    refund_id: str = ""


class Answer(NamedTuple):
    """A 2xx answer to a placed order as its client saw it; times in seconds of one clock, None where not noted."""

    customer_id: str
    idempotency_key: str
    order_id: str
    sent_at: float | None = None
    answered_at: float | None = None


def lines_of(lines: Sequence[Mapping[str, Any]]) -> Lines:
    """Add up an event's lines by sku."""
    total: Counter[str] = Counter()
    for line in lines:
        total[line["sku"]] += line["quantity"]
    return total
