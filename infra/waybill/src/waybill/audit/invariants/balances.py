"""Invariant 6: stock balances to the unit and money to the cent."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.invariants.money import unbalanced_money


def check(evidence: Evidence) -> Finding:
    """Judge each sku's stock and each order's money."""
    tables = evidence.tables
    violations = [*_unbalanced_stock(evidence), *unbalanced_money(evidence)]
    received = sum(stock.received for stock in tables.stock.values())
    shipped = sum(stock.shipped for stock in tables.stock.values())
    captured = Counter[str]()
    for entry in evidence.ledger:
        if entry.order_id in tables.orders:
            captured[entry.currency] += entry.amount_minor if entry.kind == "capture" else -entry.amount_minor
    money = ", ".join(f"{amount / 100:.2f} {currency}" for currency, amount in sorted(captured.items())) or "no money"
    note = f"{received} units received, {shipped} shipped, {money} captured"
    return judged("6", "stock and money balance", len(tables.stock) + len(tables.orders), violations, note)


def _unbalanced_stock(evidence: Evidence) -> Iterator[Violation]:
    reserved: dict[str, Counter[str]] = defaultdict(Counter)
    for reservation in evidence.tables.reservations.values():
        reserved[reservation.state].update(reservation.lines)
    held = reserved["held"] + reserved["allocated"]
    for sku, stock in evidence.tables.stock.items():
        if stock.received != stock.free + stock.held + stock.shipped:
            yield Violation(
                sku, f"received {stock.received}, but {stock.free} + {stock.held} + {stock.shipped} are there"
            )
        if min(stock) < 0:
            yield Violation(sku, f"has a negative number: {stock}")
        if stock.held != held[sku]:
            yield Violation(sku, f"{stock.held} are held, the reservations add up to {held[sku]}")
        if stock.shipped != reserved["shipped"][sku]:
            yield Violation(sku, f"{stock.shipped} are shipped, the reservations add up to {reserved['shipped'][sku]}")
