"""A dead letter is a rejected record with its provenance; too many of them stop the loop."""

import datetime as dt
from collections import deque
from collections.abc import Iterable

from exactly_once.batch import Entry, Output, Rejection
from exactly_once.errors import TooManyDeadLetters

WINDOW = 1_000
MOST_IN_WINDOW = 100
MOST_IN_A_ROW = 50


def topic_of(name: str) -> str:
    """Return the logical topic of a service's dead letters."""
    return f"{name}.dead-letters"


def letter(name: str, entry: Entry, rejection: Rejection) -> Output:
    """Return the dead letter of a record: its raw key, value and headers, and where and why it stopped."""
    record = entry.record
    provenance = {
        "dlq_topic": record.source.topic,
        "dlq_partition": str(record.source.partition),
        "dlq_offset": str(record.offset),
        "dlq_timestamp_ms": str(record.timestamp_ms),
        "dlq_group": name,
        "dlq_event_id": entry.event_id,
        "dlq_kind": rejection.kind,
        "dlq_why": rejection.why,
        "dlq_at": dt.datetime.now(dt.UTC).isoformat(),
    }
    headers = (*record.headers, *((key, value.encode()) for key, value in provenance.items()))
    value = b"" if record.key is None and record.value is None else record.value  # Kafka wants one of the two
    return Output(record.source, record.offset, topic_of(name), record.key, value, headers)


class DeadLetterLimit:
    """Keeps a bad deploy from pouring everything into the dead letters."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def check(self, rejected: Iterable[bool]) -> None:
        """TooManyDeadLetters where these, behind those counted before, are more than the limit."""
        recent = [*self._recent, *rejected][-WINDOW:]
        row = next((place for place, bad in enumerate(reversed(recent)) if not bad), len(recent))
        if sum(recent) > MOST_IN_WINDOW or row > MOST_IN_A_ROW:
            raise TooManyDeadLetters(
                f"{sum(recent)} of the last {len(recent)} records would be dead letters, {row} of them in a row: "
                "look at the last ones, mend the cause, and start this service again"
            )

    def count(self, rejected: Iterable[bool]) -> None:
        """Count what a committed batch rejected."""
        self._recent.extend(rejected)
