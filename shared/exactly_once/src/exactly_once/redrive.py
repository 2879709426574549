"""A dead letter redriven is the original record once more, with its event id: its claim is re-opened at most once."""

from typing import NamedTuple

from exactly_once.batch import Redrive
from exactly_once.envelope import (
    DLQ_ATTEMPT,
    DLQ_EVENT_ID,
    DLQ_GROUP,
    DLQ_HEADERS,
    DLQ_PARTITION,
    DLQ_TOPIC,
    REDRIVE_ATTEMPT,
    REDRIVE_EVENT_ID,
    REDRIVE_GROUP,
    REDRIVE_HEADERS,
    Headers,
    id_header,
    text_header,
)

MOST_DIGITS = 9  # of an attempt: PostgreSQL's integers have as many


class Redriven(NamedTuple):
    """A record to be sent: to its original topic (by its logical name) and partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def redriven(key: bytes | None, value: bytes | None, headers: Headers) -> Redriven:
    """Return the record that redrives a dead letter, given the letter's key, value and headers.

    Sent twice, or sent for an id that was processed all right meanwhile, it does nothing, if its group has a database:
    a stateless one takes each as it comes. ValueError: no dead letter.
    """
    original, told = headers[: -len(DLQ_HEADERS)], headers[-len(DLQ_HEADERS) :]
    if tuple(name for name, _ in told) != DLQ_HEADERS:
        raise ValueError("this record is no dead letter: its last headers are not a letter's")
    whose = {
        REDRIVE_GROUP: text_header(told, DLQ_GROUP),
        REDRIVE_EVENT_ID: text_header(told, DLQ_EVENT_ID),
        REDRIVE_ATTEMPT: text_header(told, DLQ_ATTEMPT),
    }
    behind = tuple((name, whose[name].encode()) for name in REDRIVE_HEADERS)
    return Redriven(
        text_header(told, DLQ_TOPIC), int(text_header(told, DLQ_PARTITION)), key, value, (*original, *behind)
    )


def redrive_of(headers: Headers) -> Redrive | None:
    """Return which dead letter a record repeats, None for a record that came by itself."""
    if not headers or headers[-1][0] != REDRIVE_ATTEMPT:  # nearly every record
        return None
    told = headers[-len(REDRIVE_HEADERS) :]
    if tuple([name for name, _ in told]) != REDRIVE_HEADERS:
        return None
    event_id, attempt = id_header(told, REDRIVE_EVENT_ID), text_header(told, REDRIVE_ATTEMPT)
    if not event_id or not attempt.isdecimal() or len(attempt) > MOST_DIGITS:  # nothing that a claim can hold
        return None
    return Redrive(text_header(told, REDRIVE_GROUP), event_id, int(attempt))


def without_redrive(headers: Headers) -> Headers:
    """Return the headers that the record had before it was redriven."""
    return headers if redrive_of(headers) is None else headers[: -len(REDRIVE_HEADERS)]
