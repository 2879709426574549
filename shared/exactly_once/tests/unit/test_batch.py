"""Halving a batch, and the envelope of what is in it."""

from exactly_once.batch import Batch, Entry, Partition, Record
from exactly_once.envelope import digest, output_id, pack_headers, unpack_headers

LEFT, RIGHT = Partition("orders", 0), Partition("orders", 1)


def entry(source: Partition, offset: int) -> Entry:
    return Entry(Record(source, offset, 0, b"key", b"value", ()), f"{source.partition}/{offset}", None)


def test_halves_meet_in_every_partition() -> None:
    entries = [entry(LEFT, 5), entry(LEFT, 7), entry(RIGHT, 2), entry(RIGHT, 3)]
    first, second = Batch(entries, {LEFT: 5, RIGHT: 2}, {LEFT: 9, RIGHT: 4}).halves()
    assert [each.record.offset for each in first.entries] == [5, 7]
    assert first.start == {LEFT: 5, RIGHT: 2}
    assert first.end == {LEFT: 9, RIGHT: 2}
    assert second.start == first.end
    assert second.end == {LEFT: 9, RIGHT: 4}


def test_a_half_ends_before_the_first_record_of_the_other() -> None:
    first, second = Batch([entry(LEFT, 5), entry(LEFT, 7)], {LEFT: 5}, {LEFT: 9}).halves()
    assert first.end == {LEFT: 7}
    assert second.start == {LEFT: 7}


def test_headers_survive_packing_whatever_their_bytes() -> None:
    headers = (("a", bytes(range(256))), ("a", b""), ("ü", b"x"))
    assert unpack_headers(pack_headers(headers)) == headers


def test_the_digest_tells_key_from_value() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
    assert digest(None, None) == digest(b"", b"")


def test_the_id_of_an_output_is_the_same_on_every_attempt() -> None:
    assert output_id("inventory", "cause", 0) == output_id("inventory", "cause", 0)


def test_two_groups_that_handle_one_event_emit_under_different_ids() -> None:
    ids = {output_id("inventory", "cause", 0), output_id("accounting", "cause", 0), output_id("inventory", "cause", 1)}
    assert len(ids) == 3
