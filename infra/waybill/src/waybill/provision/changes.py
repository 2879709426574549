"""What provisioning would do, in words: one change a line, and what a person must settle."""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import BaseModel

Part = Literal["postgres", "kafka", "registry"]
Action = Literal["create", "alter", "remove"]


class Change(BaseModel, frozen=True):
    """One thing that is not yet as the contracts say; no secrets inside."""

    part: Part
    action: Action
    kind: str
    name: str
    detail: str = ""


class Plan(BaseModel, frozen=True):
    """All changes in the order in which they are made; `conflicts` are sentences about what no command can change."""

    changes: tuple[Change, ...] = ()
    conflicts: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Tell whether everything is as the contracts say."""
        return not self.changes and not self.conflicts

    @classmethod
    def joined(cls, plans: Iterable[Self]) -> Self:
        """Return one plan of several."""
        plans = tuple(plans)
        return cls(
            changes=tuple(change for plan in plans for change in plan.changes),
            conflicts=tuple(conflict for plan in plans for conflict in plan.conflicts),
        )
