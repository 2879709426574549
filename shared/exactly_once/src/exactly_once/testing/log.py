"""A partition's log in memory: records and control records, each at its offset, some of them not yet decided."""

from dataclasses import dataclass, field
from enum import Enum, auto

from exactly_once.batch import Partition, Positions, Record


class End(Enum):
    """How a transaction ended, or that it has not."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(eq=False)
class Transaction:
    """What one transaction of a producer has sent so far."""

    transactional_id: str
    epoch: int
    end: End = End.OPEN
    touched: set[Partition] = field(default_factory=set)
    offsets: dict[str, Positions] = field(default_factory=dict)


@dataclass(frozen=True)
class Slot:
    """What lies at one offset; a control record where `record` is None. `number` counts over all partitions."""

    number: int
    record: Record | None
    transaction: Transaction | None

    @property
    def is_open(self) -> bool:
        """Tell whether its transaction has not ended."""
        return self.transaction is not None and self.transaction.end is End.OPEN

    @property
    def is_visible(self) -> bool:
        """Tell whether a read_committed reader is given it."""
        return self.record is not None and (self.transaction is None or self.transaction.end is End.COMMITTED)


@dataclass
class Log:
    """One partition's log, from its first offset on."""

    beginning: int = 0
    slots: list[Slot] = field(default_factory=list)
    _decided: int = 0

    @property
    def end(self) -> int:
        """The offset that the next record gets."""
        return self.beginning + len(self.slots)

    @property
    def last_stable(self) -> int:
        """The offset of the first record whose transaction is open, else the end."""
        place = max(self._decided, self.beginning)
        while place < self.end and not self.slots[place - self.beginning].is_open:
            place += 1
        self._decided = place
        return place

    def append(self, slot: Slot) -> None:
        """Store a record or a control record."""
        self.slots.append(slot)

    def visible(self, start: int, stop: int) -> list[Slot]:
        """Return what a read_committed reader is given between two offsets."""
        low, high = (max(0, each - self.beginning) for each in (start, min(stop, self.last_stable)))
        return [slot for slot in self.slots[low:high] if slot.is_visible]

    def drop_before(self, offset: int) -> None:
        """Forget what lies before an offset, as retention does."""
        self.slots = self.slots[max(0, offset - self.beginning) :]
        self.beginning = max(self.beginning, offset)
