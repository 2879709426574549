"""Invariant 11: a zombie's commits are refused by both sides."""

from waybill.audit.evidence import Evidence
from waybill.audit.finding import Finding


def check(evidence: Evidence) -> Finding:
    """Say that no reading can show what was refused; a watcher shows at least that no epoch went back."""
    note = "not observable by one reading: a refused commit leaves nothing to read"
    history = evidence.history
    if history is not None and history.is_observed:
        note = f"not observable: a refused commit leaves nothing to read; no epoch went back in {history.looks} looks"
    violations = sorted(history.epochs) if history else []
    if violations:
        note = "an epoch went back, so that an earlier owner could commit again"
    return Finding("11", "a zombie's commits are refused by both sides", 0, violations, note, observable=False)
