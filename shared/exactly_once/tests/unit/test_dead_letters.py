"""The dead letter's provenance and the limit."""

import pytest

from exactly_once.batch import Entry, Partition, Record, Rejection
from exactly_once.dead_letters import MOST_IN_A_ROW, MOST_IN_WINDOW, WINDOW, DeadLetterLimit, letter
from exactly_once.errors import TooManyDeadLetters


def test_a_letter_keeps_the_raw_record_and_says_where_it_stopped() -> None:
    record = Record(Partition("orders", 2), 41, 1_700_000, b"c-1", b"\xff\x00", (("ce_id", b"e-1"),))
    output = letter("inventory", Entry(record, "e-1", None), Rejection("undecodable", "no schema 9"))
    headers = dict(output.headers)
    assert (output.out_topic, output.key, output.value) == ("inventory.dead-letters", b"c-1", b"\xff\x00")
    assert headers["ce_id"] == b"e-1"
    assert (headers["dlq_topic"], headers["dlq_partition"], headers["dlq_offset"]) == (b"orders", b"2", b"41")
    assert (headers["dlq_kind"], headers["dlq_why"]) == (b"undecodable", b"no schema 9")


def test_a_record_without_key_and_value_still_has_a_letter_that_kafka_takes() -> None:
    record = Record(Partition("orders", 0), 1, 0, None, None, ())
    assert letter("inventory", Entry(record, "orders/0/1", None), Rejection("undecodable", "empty")).value == b""


def test_a_row_of_dead_letters_stops_the_loop() -> None:
    limit = DeadLetterLimit()
    limit.check([True] * MOST_IN_A_ROW)
    limit.count([True] * MOST_IN_A_ROW)
    with pytest.raises(TooManyDeadLetters, match="51 of them in a row"):
        limit.check([True])
    limit.check([False])


def test_a_share_of_dead_letters_stops_the_loop() -> None:
    limit = DeadLetterLimit()
    limit.count([place % 5 == 0 for place in range(MOST_IN_WINDOW * 5)])
    with pytest.raises(TooManyDeadLetters, match="101 of the last"):
        limit.check([False, True])


def test_a_row_of_dead_letters_within_a_batch_stops_the_loop_whatever_is_behind_it() -> None:
    with pytest.raises(TooManyDeadLetters, match="51 of them in a row"):
        DeadLetterLimit().check([False] * WINDOW + [True] * (MOST_IN_A_ROW + 1) + [False] * 2 * WINDOW)


def test_a_share_of_dead_letters_within_a_batch_stops_the_loop_whatever_is_behind_it() -> None:
    share = [place % 5 == 0 for place in range(5 * MOST_IN_WINDOW)]
    limit = DeadLetterLimit()
    limit.check([*share, *[False] * WINDOW, *share])
    with pytest.raises(TooManyDeadLetters, match="101 of the last 1000 records"):
        limit.check([*[False] * WINDOW, *share, True, *[False] * 2 * WINDOW])


def test_old_dead_letters_are_forgotten() -> None:
    limit = DeadLetterLimit()
    limit.count([True] * MOST_IN_A_ROW + [False] * WINDOW)
    limit.check([True] * MOST_IN_A_ROW)
