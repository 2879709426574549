"""Invariant 4: each customer's orders stay in the order in which they were accepted, in every topic."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from waybill.audit.evidence import Evidence, Partition, Place, Record
from waybill.audit.finding import Finding, Violation, judged
from waybill.audit.murmur import partition_of
from waybill.audit.shop import Answer

# Requests of one customer may overlap, and then may be published in any order. A row tells when its transaction began
# and when it was about to be written; this long it may have taken from there to the answer. A client's clock is exact.
ANSWERED_WITHIN_US = 250_000


def check(evidence: Evidence) -> Finding:
    """Judge the partition of every record, and each customer's sequence in every topic."""
    keyed = [record for records in evidence.events.values() for record in records]
    violations = [*_misdirected(evidence, keyed), *_unlike_accepted(evidence), *_unlike_caused(evidence)]
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


def _unlike_caused(evidence: Evidence) -> Iterator[Violation]:
    """Yield events under one key that stand in another order than what caused them, as one group read it."""
    last: dict[tuple[str, Partition, bytes, Partition], tuple[Place, Record]] = {}
    for record in evidence.records:
        name = evidence.wiring.writers.get(record.place.topic, "")
        claim = evidence.groups[name].claims.get(record.cause) if name in evidence.groups else None
        if claim is None or record.cause == record.event_id:
            continue
        if record.place in evidence.rejected or record.place in evidence.copies:
            continue
        lane = (name, record.place[:2], record.key, claim.place[:2])
        cause, before = last.get(lane, (claim.place, record))
        if claim.place < cause:
            what = f"{record.event_type} at {record.place} comes after {before.event_type} at {before.place}"
            subject = record.order_id or record.event_id
            yield Violation(subject, f"{what}, which has the later cause: {claim.place}, then {cause}")
        else:
            last[lane] = (claim.place, record)
