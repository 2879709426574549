"""Invariant 6, the money: what the gateway took for an order is what its events, its tables and its goods say."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Violation
from waybill.audit.shop import TERMINAL, Entry, Order, Payment


def unbalanced_money(evidence: Evidence) -> Iterator[Violation]:
    """Yield orders whose money differs between the ledger, the events, the tables and what was shipped."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in evidence.ledger:
        entries[entry.order_id].append(entry)
    for order_id, order in evidence.tables.orders.items():
        if order.status in TERMINAL and order_id not in evidence.stopped:
            yield from _against_goods(order_id, order, entries[order_id])
    for order_id, payment in evidence.tables.payments.items():
        captured = payment.state == "captured"
        if (captured or entries[order_id]) and order_id not in evidence.stopped:
            yield from _against_payment(evidence, order_id, payment, entries[order_id])
    yield from _against_events(evidence)
    yield from _shared_invoices(evidence)
    yield from _unknown(evidence, entries)


def _against_goods(order_id: str, order: Order, entries: Sequence[Entry]) -> Iterator[Violation]:
    kept = sum(entry.amount_minor if entry.kind == "capture" else -entry.amount_minor for entry in entries)
    due = order.total_minor if order.status == "shipped" else 0
    if kept != due:
        yield Violation(order_id, f"is {order.status} over {due} minor units, the gateway's ledger kept {kept}")
    if sum(entry.kind == "capture" for entry in entries) > 1:
        yield Violation(order_id, "was captured more than once at the gateway")
    if any(entry.currency != order.currency for entry in entries):
        yield Violation(order_id, f"was charged in another currency than {order.currency}")


def _against_payment(
    evidence: Evidence, order_id: str, payment: Payment, entries: Sequence[Entry]
) -> Iterator[Violation]:
    captures = [(entry.amount_minor, entry.currency, entry.charge_id) for entry in entries if entry.kind == "capture"]
    booked = [(payment.amount_minor, payment.currency, payment.charge_id)] if payment.state == "captured" else []
    in_flight = not evidence.settled and payment.state == "charging"
    if captures != booked and not in_flight:
        yield Violation(order_id, f"accounting booked {booked}, the gateway's ledger has {captures}")


def _against_events(evidence: Evidence) -> Iterator[Violation]:
    for record in evidence.events.get("PaymentCaptured", ()):
        fields = record.fields
        payment = evidence.tables.payments.get(record.order_id)
        told = (fields["amount"]["amount_minor"], fields["charge_id"], fields["invoice_number"])
        if payment is None or told != (payment.amount_minor, payment.charge_id, payment.invoice_number):
            booked = payment and (payment.amount_minor, payment.charge_id, payment.invoice_number)
            yield Violation(record.order_id, f"PaymentCaptured says {told}, accounting's table {booked}")


def _shared_invoices(evidence: Evidence) -> Iterator[Violation]:
    captured = {order: row for order, row in evidence.tables.payments.items() if row.state == "captured"}
    numbers = Counter(row.invoice_number for row in captured.values())
    for order_id, row in captured.items():
        if not row.invoice_number or numbers[row.invoice_number] > 1:
            yield Violation(order_id, f"was captured without an invoice of its own ({row.invoice_number or 'none'})")


def _unknown(evidence: Evidence, entries: dict[str, list[Entry]]) -> Iterator[Violation]:
    for order_id in entries.keys() - evidence.tables.payments.keys():
        if order_id in evidence.tables.orders or not evidence.ledger_shared:
            yield Violation(order_id, "money was taken for it at the gateway, accounting knows nothing of it")
