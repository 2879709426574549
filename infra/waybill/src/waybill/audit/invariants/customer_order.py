"""Invariant 4: each customer's orders stay in the order in which they were accepted, in every topic."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from waybill.audit.evidence import Evidence, Record
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.model import RULES
from waybill.audit.murmur import partition_of
from waybill.audit.shop import Answer

# Requests of one customer may overlap, and then may be published in any order. A row tells when its transaction began
# and when it was about to be written; this long it may have taken from there to the answer. A client's clock is exact.
ANSWERED_WITHIN_US = 250_000


def check(evidence: Evidence) -> Finding:
    """Judge the partition of every record, and each customer's sequence in every topic."""
    keyed = [record for records in evidence.events.values() for record in records]
    violations = [*_misdirected(evidence, keyed), *_unlike_accepted(evidence), *_unlike_placed(evidence)]
    customers = {record.fields["customer_id"] for record in evidence.events.get("OrderPlaced", ())}
    note = f"{len(customers)} customers"
    if evidence.answers is None:
        note += f"; orders placed within {ANSWERED_WITHIN_US // 1_000} ms of each other count as placed at once"
    return judged("4", "each customer's order holds in every topic", len(keyed), violations, note)


def _misdirected(evidence: Evidence, keyed: list[Record]) -> Iterator[Violation]:
    """Yield records under another key than their event's, or in another partition than their key's."""
    partitions = Counter(topic for topic, _ in evidence.bounds)
    for record in keyed:
        key = str(record.fields[evidence.wiring.keys[record.event_type]]).encode()
        if record.key != key:
            yield Violation(record.event_id, f"{record.place} stands under key {record.key!r}, its event's is {key!r}")
        elif record.place.partition != partition_of(key, partitions[record.place.topic]):
            yield Violation(record.event_id, f"{record.place} is the wrong partition for key {key!r}")


def _unlike_accepted(evidence: Evidence) -> Iterator[Violation]:
    """Yield orders that were published before an earlier one of the same customer."""
    answers = {answer.order_id: answer for answer in evidence.answers or ()}
    by_customer: dict[str, list[Record]] = defaultdict(list)
    for record in evidence.events.get("OrderPlaced", ()):
        by_customer[record.fields["customer_id"]].append(record)
    for customer, records in by_customer.items():
        sequence = [record.order_id for record in sorted(records, key=lambda record: record.place)]
        yield from _overtaken(customer, sequence, _intervals(evidence, sequence, answers))


def _intervals(evidence: Evidence, sequence: list[str], answers: dict[str, Answer]) -> list[tuple[float, float]]:
    """Return when each order was asked for at the latest and answered at the earliest, as far as is known."""
    intervals = []
    for order_id in sequence:
        answer = answers.get(order_id)
        row = evidence.tables.orders.get(order_id)
        if answer and answer.sent_at is not None and answer.answered_at is not None:
            intervals.append((answer.sent_at * 1e6, answer.answered_at * 1e6))
        elif row is not None and evidence.answers is None:
            intervals.append((row.begun_at_us, row.placed_at_us + ANSWERED_WITHIN_US))
        else:
            intervals.append((0.0, float("inf")))
    return intervals


def _overtaken(customer: str, sequence: list[str], intervals: list[tuple[float, float]]) -> Iterator[Violation]:
    latest, by = 0.0, ""
    for order_id, (sent, answered) in zip(sequence, intervals, strict=True):
        if answered < latest:
            yield Violation(order_id, f"customer {customer} had it accepted before {by}, it was published after")
        if sent > latest:
            latest, by = sent, order_id


def _unlike_placed(evidence: Evidence) -> Iterator[Violation]:
    """Yield where the decisions about a customer's orders come in another order than those were placed in."""
    placed = evidence.events.get("OrderPlaced", [])
    rank = {record.order_id: record.place for record in sorted(placed, key=lambda record: record.place, reverse=True)}
    for rule in RULES:
        given = [record for event_type in rule.gives for record in evidence.events.get(event_type, ())]
        known = [record for record in given if record.order_id in rank and record.order_id not in evidence.stopped]
        yield from _swapped(sorted(known, key=lambda record: record.place), rank)


def _swapped(decisions: Sequence[Record], rank: Mapping[str, tuple[str, int, int]]) -> Iterator[Violation]:
    last: dict[str, Record] = {}
    decided: set[str] = set()  # a decision taken twice is invariant 3's
    for record in decisions:
        if record.order_id in decided:
            continue
        decided.add(record.order_id)
        before = last.setdefault(record.fields["customer_id"], record)
        if rank[record.order_id][1:] < rank[before.order_id][1:]:
            what = (
                f"{record.event_type} at {record.place} comes after that of {before.order_id}, which was placed later"
            )
            yield Violation(record.order_id, what)
        else:
            last[record.fields["customer_id"]] = record
