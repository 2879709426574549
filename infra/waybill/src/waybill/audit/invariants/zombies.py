"""Invariant 11: a zombie's commits are refused by both sides."""

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Finding


def check(_: Evidence) -> Finding:
    """Say that one reading can't show what was refused."""
    note = "not observable by one reading: a refused commit leaves nothing to read"
    return Finding("11", "a zombie's commits are refused by both sides", 0, note=note, observable=False)
