"""A dead letter and the record that redrives it, as values."""

from typing import Any

import pytest

from exactly_once.batch import Entry, Partition, Record, Redrive, Rejection
from exactly_once.dead_letters import letter
from exactly_once.envelope import DLQ_HEADERS, REDRIVE_HEADERS, Headers, pack_headers, text_header, unpack_headers
from exactly_once.redrive import redrive_of, redriven

HEADERS: Headers = (("ce_id", b"e-1"), ("odd", b"\xff\x00"), ("none", None), ("dlq_topic", b"a liar's"))


def a_record(**changes: Any) -> Record:
    record = Record(Partition("orders", 2), 41, 1_700_000, b"c-1", b"\xff\x00", HEADERS)
    return record._replace(**changes)


def a_letter(record: Record, event_id: str = "e-1", attempt: int = 0) -> Record:
    """Return the letter of a record as Kafka would give it to a reader."""
    entry = Entry(record, event_id, None, redrive=redrive_of(record.headers), attempt=attempt)
    output = letter("inventory", entry, Rejection("rejected", "unwanted"))
    return a_record(key=output.key, value=output.value, headers=output.headers)


def test_a_redriven_record_is_the_original_and_says_which_letter_it_repeats() -> None:
    found = a_letter(a_record())
    again = redriven(found.key, found.value, found.headers)
    assert (again.topic, again.partition, again.key, again.value) == ("orders", 2, b"c-1", b"\xff\x00")
    assert again.headers[: len(HEADERS)] == HEADERS
    assert tuple(name for name, _ in again.headers[len(HEADERS) :]) == REDRIVE_HEADERS
    assert redrive_of(again.headers) == Redrive("inventory", "e-1", 0)


def test_a_record_that_came_by_itself_repeats_no_letter() -> None:
    assert redrive_of(HEADERS) is None
    assert redrive_of((*HEADERS, *((name, b"x") for name in REDRIVE_HEADERS))) is None, "an attempt is a number"


@pytest.mark.parametrize(
    ("event_id", "attempt"),
    [
        *((event_id, b"0") for event_id in (b"", b"a\0b", b"x" * 201)),
        *((b"e-1", attempt) for attempt in (b"-1", b"1.5", b"1" * 10, b"9" * 5_000)),
    ],
)
def test_headers_that_no_claim_can_hold_repeat_no_letter(event_id: bytes, attempt: bytes) -> None:
    headers = tuple(zip(REDRIVE_HEADERS, (b"inventory", event_id, attempt), strict=True))
    assert redrive_of((*HEADERS, *headers)) is None


def test_the_letter_of_a_redriven_record_holds_the_original_headers_and_the_new_attempt() -> None:
    first = a_letter(a_record())
    again = redriven(first.key, first.value, first.headers)
    second = a_letter(a_record(offset=99, headers=again.headers), attempt=1)
    assert second.headers[: len(HEADERS)] == HEADERS
    assert len(second.headers) == len(HEADERS) + len(DLQ_HEADERS)
    assert redrive_of(redriven(second.key, second.value, second.headers).headers) == Redrive("inventory", "e-1", 1)


def test_what_is_no_letter_is_not_redriven() -> None:
    with pytest.raises(ValueError, match="no dead letter"):
        redriven(b"c-1", b"\xff\x00", HEADERS)


def test_headers_of_any_bytes_and_of_none_survive_their_column() -> None:
    assert unpack_headers(pack_headers(HEADERS)) == HEADERS
    assert text_header(HEADERS, "none") == ""
    assert text_header(HEADERS, "odd") == "\ufffd\0"


def test_a_reason_of_any_length_and_with_any_character_fits_into_a_letter() -> None:
    output = letter("inventory", Entry(a_record(), "e-1", None), Rejection("rejected", "\ud800" + "x" * 10_000))
    assert dict(output.headers)["dlq_why"] == b"?" + b"x" * 499
