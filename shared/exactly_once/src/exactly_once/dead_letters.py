"""A dead letter is a rejected record with its provenance; too many of them stop the loop."""

import datetime as dt
from collections import deque
from collections.abc import Iterable, Sequence

from exactly_once.batch import Entry, Output, Rejection
from exactly_once.envelope import (
    DLQ_AT,
    DLQ_ATTEMPT,
    DLQ_EVENT_ID,
    DLQ_GROUP,
    DLQ_HEADERS,
    DLQ_KIND,
    DLQ_OFFSET,
    DLQ_PARTITION,
    DLQ_TIMESTAMP_MS,
    DLQ_TOPIC,
    DLQ_WHY,
)
from exactly_once.errors import TooManyDeadLetters
from exactly_once.redrive import without_redrive

LONGEST_WHY = 500
WINDOW = 1_000
MOST_IN_WINDOW = 100
MOST_IN_A_ROW = 50


def topic_of(name: str) -> str:
    """Return the logical topic of a service's dead letters."""
    return f"{name}.dead-letters"


def letter(name: str, entry: Entry, rejection: Rejection) -> Output:
    """Return the dead letter of a record: its raw key, value and headers, and behind them where and why it stopped."""
    record = entry.record
    provenance = {
        DLQ_TOPIC: record.source.topic,
        DLQ_PARTITION: str(record.source.partition),
        DLQ_OFFSET: str(record.offset),
        DLQ_TIMESTAMP_MS: str(record.timestamp_ms),
        DLQ_GROUP: name,
        DLQ_EVENT_ID: entry.event_id,
        DLQ_ATTEMPT: str(entry.attempt),
        DLQ_KIND: rejection.kind,
        DLQ_WHY: rejection.why[:LONGEST_WHY],
        DLQ_AT: dt.datetime.now(dt.UTC).isoformat(),
    }
    told = ((header, provenance[header].encode(errors="replace")) for header in DLQ_HEADERS)
    value = b"" if record.key is None and record.value is None else record.value  # Kafka wants one of the two
    headers = (*without_redrive(record.headers), *told)
    return Output(record.source, record.offset, topic_of(name), record.key, value, headers)


class DeadLetterLimit:
    """Keeps a bad deploy from pouring everything into the dead letters.

    It counts since the process started, in memory: a restart begins anew, so a service that is started again and again
    without a remedy buries up to MOST_IN_A_ROW records each time. The letters themselves are the lasting record.
    """

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def check(self, rejected: Sequence[bool]) -> None:
        """TooManyDeadLetters where these, behind those counted before, pass the limit anywhere among them."""
        if not any(rejected):
            return
        recent = [*self._recent, *rejected]
        among = row = 0
        for place, is_bad in enumerate(recent):
            among += is_bad - (place >= WINDOW and recent[place - WINDOW])
            row = row + 1 if is_bad else 0
            if among > MOST_IN_WINDOW or row > MOST_IN_A_ROW:
                last = min(place + 1, WINDOW)
                raise TooManyDeadLetters(
                    f"{among} of the last {last} records would be dead letters, {row} of them in a row: "
                    "look at the last ones, mend the cause, and start this service again"
                )

    def count(self, rejected: Iterable[bool]) -> None:
        """Count what a committed batch rejected."""
        self._recent.extend(rejected)
