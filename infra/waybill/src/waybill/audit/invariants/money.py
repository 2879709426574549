"""Invariant 6, the money: what the gateway took for an order is what its events, its tables and its goods say."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Violation
from waybill.audit.shop import TERMINAL, Entry, Order, Payment

TAKEN = frozenset({"captured", "refunding", "refunded"})


def unbalanced_money(evidence: Evidence) -> Iterator[Violation]:
    """Yield orders whose money differs between the ledger, the events, the tables and what was shipped."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in evidence.ledger:
        entries[entry.order_id].append(entry)
    for order_id, order in evidence.tables.orders.items():
        if order.status in TERMINAL and order_id not in evidence.stopped:
            yield from _against_goods(order_id, order, entries[order_id])
    for order_id, payment in evidence.tables.payments.items():
        if order_id not in evidence.stopped:
            yield from _against_payment(evidence, order_id, payment, entries[order_id])
            yield from _under_other_keys(order_id, entries[order_id])
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
    if not evidence.settled and payment.state in {"charging", "refunding"}:  # the gateway may be ahead by one answer
        return
    moved = sorted((entry.kind, entry.amount_minor, entry.currency, entry.charge_id) for entry in entries)
    due = (payment.amount_minor, payment.currency, payment.charge_id)
    booked = [("capture", *due)] if payment.state in TAKEN else []
    booked += [("refund", *due)] if payment.state == "refunded" else []
    if moved != booked:
        yield Violation(
            order_id, f"accounting booked {booked or 'nothing'}, the gateway's ledger has {moved or 'none'}"
        )
    refunds = [entry.refund_id for entry in entries if entry.kind == "refund"]
    if payment.state == "refunded" and refunds != [payment.refund_id]:
        yield Violation(order_id, f"accounting noted refund {payment.refund_id}, the gateway's ledger has {refunds}")


def _under_other_keys(order_id: str, entries: Sequence[Entry]) -> Iterator[Violation]:
    keys = {"capture": order_id, "refund": f"{order_id}:refund"}
    for entry in entries:
        if entry.idempotency_key != keys.get(entry.kind):
            yield Violation(order_id, f"a {entry.kind} went under the idempotency key {entry.idempotency_key}")


def _against_events(evidence: Evidence) -> Iterator[Violation]:
    for event_type, told_by in (("PaymentCaptured", "invoice_number"), ("PaymentRefunded", "refund_id")):
        for record in evidence.events.get(event_type, ()):
            fields, row = record.fields, evidence.tables.payments.get(record.order_id)
            told = (fields["amount"]["amount_minor"], fields["charge_id"], fields[told_by])
            booked = row and (row.amount_minor, row.charge_id, getattr(row, told_by))
            if told != booked:
                yield Violation(record.order_id, f"{event_type} says {told}, accounting's table {booked}")


def _shared_invoices(evidence: Evidence) -> Iterator[Violation]:
    captured = {order: row for order, row in evidence.tables.payments.items() if row.state in TAKEN}
    numbers = Counter(row.invoice_number for row in captured.values())
    for order_id, row in captured.items():
        if not row.invoice_number or numbers[row.invoice_number] > 1:
            yield Violation(order_id, f"was captured without an invoice of its own ({row.invoice_number or 'none'})")


def _unknown(evidence: Evidence, entries: dict[str, list[Entry]]) -> Iterator[Violation]:
    for order_id in entries.keys() - evidence.tables.payments.keys():
        if order_id in evidence.tables.orders or not evidence.ledger_shared:
            yield Violation(order_id, "money was taken for it at the gateway, accounting knows nothing of it")
