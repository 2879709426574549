"""What judging one invariant found."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Violation(NamedTuple):
    """What is wrong, and with which order, event, record or sku."""

    subject: str
    what: str


@dataclass(frozen=True)
class Finding:
    """The verdict on one invariant: how much was looked at, and what was wrong."""

    id: str
    name: str
    checked: int
    violations: list[Violation] = field(default_factory=list)
    note: str = ""
    observable: bool = True

    @property
    def ok(self) -> bool | None:
        """True: held by everything that was looked at; None: one reading can't tell."""
        if self.violations:
            return False
        return True if self.observable else None


def judged(identity: str, name: str, checked: int, violations: Iterable[Violation], note: str = "") -> Finding:
    """Return the finding of an invariant that one reading can judge."""
    return Finding(identity, name, checked, sorted(set(violations)), note)
