"""Invariant 9: each 2xx answer has its order, and each idempotency key one order."""

from collections.abc import Iterator

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Finding, Violation, judged


def check(evidence: Evidence) -> Finding:
    """Judge the idempotency keys, and the answers where a client handed them over."""
    answers = evidence.answers
    handed = "no client handed over its answers" if answers is None else f"{len(answers)} answers of the client"
    checked = len(evidence.tables.keys) + len(answers or ())
    violations = [*_keys(evidence), *_answers(evidence)]
    return judged("9", "each 2xx answer has its order, each key one order", checked, violations, handed)


def _keys(evidence: Evidence) -> Iterator[Violation]:
    owner: dict[str, tuple[str, str]] = {}
    for customer, key, order_id in evidence.tables.keys:
        order = evidence.tables.orders.get(order_id)
        if order is None or order.customer_id != customer:
            yield Violation(key, f"customer {customer}'s key names order {order_id}, which is not theirs")
        first = owner.setdefault(order_id, (customer, key))
        if first != (customer, key):
            yield Violation(order_id, f"two idempotency keys name this order: {first[1]} and {key}")
    for order_id in evidence.tables.orders.keys() - owner.keys():
        if _keeps_its_key(evidence, order_id):
            yield Violation(order_id, "no idempotency key names this order")


def _answers(evidence: Evidence) -> Iterator[Violation]:
    known = {(customer, key): order_id for customer, key, order_id in evidence.tables.keys}
    for answer in evidence.answers or ():
        order = evidence.tables.orders.get(answer.order_id)
        if order is None or order.customer_id != answer.customer_id:
            yield Violation(answer.order_id, f"was answered to customer {answer.customer_id}, who has no such order")
        elif known.get((answer.customer_id, answer.idempotency_key)) != answer.order_id and _keeps_its_key(
            evidence, answer.order_id
        ):
            yield Violation(answer.order_id, f"was answered to key {answer.idempotency_key}, which names another order")


def _keeps_its_key(evidence: Evidence, order_id: str) -> bool:
    """Tell whether an order is so young that its key must still stand for it."""
    return evidence.tables.orders[order_id].placed_at_us >= evidence.tables.keys_since_us
