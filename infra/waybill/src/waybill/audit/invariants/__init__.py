"""The invariants, each a pure function from the evidence to a finding."""

from collections.abc import Callable

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Finding
from waybill.audit.invariants import (
    answered,
    at_rest,
    balances,
    claimed_once,
    customer_order,
    decisions,
    one_value,
    positions,
    replayed,
    status,
    torn,
    unaborted,
    zombies,
)

Check = Callable[[Evidence], Finding]

CHECKS: tuple[Check, ...] = (
    claimed_once.check,
    unaborted.check,
    decisions.check,
    customer_order.check,
    positions.check,
    positions.only_grow,
    balances.check,
    torn.check,
    one_value.check,
    answered.check,
    at_rest.check,
    zombies.check,
    replayed.check,
    status.check,
)


def judge(evidence: Evidence) -> list[Finding]:
    """Return the finding of every invariant, in order."""
    return [check(evidence) for check in CHECKS]
