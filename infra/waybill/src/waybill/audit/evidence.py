"""What one reading of a stack found: records, the library's tables, the shop's tables and the gateway's ledger."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from contracts import dead_letters
from waybill.audit.explaining import Explanations, explain_all
from waybill.audit.redriven import Letter, Redrive, copies_of, is_answered
from waybill.audit.shop import Answer, Cancellation, Entry, Order, Payment, Reservation, Shipment, Stock
from waybill.audit.wiring import Wiring

if TYPE_CHECKING:
    from waybill.audit.history import History


class Place(NamedTuple):
    """Where Kafka keeps a record; the topic by its logical name."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Record(NamedTuple):
    """A record that a `read_committed` reader sees; `fields` is empty where the value can't be decoded."""

    place: Place
    key: bytes
    event_id: str
    event_type: str
    cause: str
    digest: bytes
    fields: Mapping[str, Any]
    redrive: Redrive | None = None
    outlived: bool = False  # it is older than claims are kept

    @property
    def order_id(self) -> str:
        """The order that this record is about, empty for none."""
        return str(self.fields.get("order_id", ""))


class Bounds(NamedTuple):
    """The ends of a partition: the first offset kept, the last stable offset, the high watermark."""

    low: int
    stable: int
    high: int


class Claim(NamedTuple):
    """A group's claim of an event id."""

    event_id: str
    place: Place
    digest: bytes
    rejected: bool


class Position(NamedTuple):
    """A group's own position in a partition, as PostgreSQL has it."""

    next_offset: int
    pruned_to: int


class Stored(NamedTuple):
    """An output that a group's database still keeps, by the input that caused it."""

    source: Place
    topic: str
    event_id: str
    digest: bytes


Partition = tuple[str, int]


@dataclass(frozen=True)
class Group:
    """What the library's tables of one service say, and the offsets that Kafka keeps for its group."""

    claims: Mapping[str, Claim] = field(default_factory=dict)
    positions: Mapping[Partition, Position] = field(default_factory=dict)
    committed: Mapping[Partition, int] = field(default_factory=dict)
    stored: Sequence[Stored] = ()
    outbox: int = 0

    def published(self, place: Place) -> bool:
        """Tell whether the group's committed offset has passed a place, so that its outputs are visible."""
        return place.offset < self.committed.get(place[:2], 0)


@dataclass(frozen=True)
class Tables:
    """The shop's own tables, of all services."""

    orders: Mapping[str, Order] = field(default_factory=dict)
    keys: Sequence[tuple[str, str, str]] = ()  # customer, idempotency key, order
    keys_since_us: int = 0  # an order older than that may have lost its key
    prices: Mapping[str, tuple[int, str]] = field(default_factory=dict)  # checkout's copy
    products: Mapping[str, tuple[int, str]] = field(default_factory=dict)  # inventory's own
    stock: Mapping[str, Stock] = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    payments: Mapping[str, Payment] = field(default_factory=dict)
    shipments: Mapping[str, Shipment] = field(default_factory=dict)
    cancellations: Mapping[str, Cancellation] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """All that the invariants are judged by: one reading, nothing behind it."""

    wiring: Wiring
    records: Sequence[Record]
    bounds: Mapping[Partition, Bounds]
    groups: Mapping[str, Group]
    tables: Tables
    ledger: Sequence[Entry] = ()
    ledger_shared: bool = False  # other namespaces' orders stand in it too
    letters: Sequence[Letter] = ()
    aborted: Sequence[tuple[str, str]] = ()  # what only a read_uncommitted reader sees: topic and, as `visible`, which
    answers: Sequence[Answer] | None = None
    settled: bool = True
    history: "History | None" = None  # what a watcher saw before

    @cached_property
    def at(self) -> dict[Place, Record]:
        """Every record by its place."""
        return {record.place: record for record in self.records}

    @cached_property
    def visible(self) -> set[tuple[str, str]]:
        """The topics of what can be read, with the event's id, or with the place that a dead letter is about."""
        letters = {(dead_letters(letter.group), str(letter.source)) for letter in self.letters}
        return letters | {(record.place.topic, record.event_id) for record in self.records}

    @cached_property
    def events(self) -> dict[str, list[Record]]:
        """The records of each type that stand in that type's topic, decoded and rejected by nobody, in order of place.

        An open dead letter's record is apart: what it stands for is for a person to decide. A redriven record is not
        an event of its own.
        """
        events: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            if not record.fields or record.place in self.rejected or record.place in self.copies:
                continue
            if self.wiring.topics.get(record.event_type) == record.place.topic:
                events[record.event_type].append(record)
        return events

    @cached_property
    def journeys(self) -> dict[str, dict[str, list[Record]]]:
        """The events of each order, by type; an order that no event speaks of is there with none."""
        journeys: dict[str, dict[str, list[Record]]] = {order: defaultdict(list) for order in self.tables.orders}
        for event_type, records in self.events.items():
            for record in records:
                if record.order_id:
                    journeys.setdefault(record.order_id, defaultdict(list))[event_type].append(record)
        return journeys

    @cached_property
    def explanations(self) -> Explanations:
        """How the model explains what each group gave about each order."""
        return explain_all(self)

    @cached_property
    def rejected(self) -> set[Place]:
        """The places of all records that some group rejected, and did not take when they were redriven."""
        claims = (claim for group in self.groups.values() for claim in group.claims.values())
        letters = (letter for letter in self.letters if not is_answered(letter, self.groups))
        return {claim.place for claim in claims if claim.rejected} | {letter.source for letter in letters}

    @cached_property
    def copies(self) -> Mapping[Place, Place]:
        """Where redriven records stand, each with the place of the record that it repeats."""
        return copies_of(self.records, self.groups)

    def taken_at(self, name: str, record: Record) -> Place | None:
        """Return where a group took a record: at its place or, redriven, at a copy's. None: it did not."""
        claim = self.groups[name].claims.get(record.event_id)
        if claim is None or claim.rejected or self.copies.get(claim.place, claim.place) != record.place:
            return None
        return claim.place

    def forgotten(self, record: Record) -> bool:
        """Tell whether a compacted topic has kept a record for longer than its claims are kept."""
        return record.outlived and record.place.topic in self.wiring.compacted

    @cached_property
    def stopped(self) -> set[str]:
        """The orders that a dead letter holds: a record about them was rejected by a group."""
        return {self.at[place].order_id for place in self.rejected if place in self.at} - {""}

    @cached_property
    def trimmed(self) -> list[str]:
        """The topics whose beginning retention has taken: what they said can't be read again."""
        gone = {topic for (topic, _), bounds in self.bounds.items() if bounds.low > 0}
        return sorted(gone - self.wiring.compacted)

    def writer(self, topic: str) -> Group:
        """Return the group of the service that alone writes a topic."""
        return self.groups.get(self.wiring.writers.get(topic, ""), NOBODY)


NOBODY = Group()
