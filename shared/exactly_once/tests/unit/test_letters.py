"""What a record among the dead letters says, and what an error's text leaves out."""

import pytest
from pydantic import BaseModel, ValidationError

from exactly_once.batch import Entry, Partition, Record, Rejection
from exactly_once.dead_letters import letter
from exactly_once.errors import LONGEST_LINE, one_line
from exactly_once.letters import LetterId, letter_of

OWN = (("ce_id", b"id-1"), ("ce_type", b"OrderPlaced"))
RECORD = Record(Partition("orders", 2), 7, 1_700_000_000_000, b"anna", b"value", OWN)


class Card(BaseModel):
    number: int


def buried() -> Record:
    output = letter("accounting", Entry(RECORD, "id-1", None, attempt=3), Rejection("bug", "KeyError: 'x'"))
    return Record(Partition(output.out_topic, 1), 40, 0, output.key, output.value, output.headers)


def test_a_letter_says_where_its_record_stopped_and_why() -> None:
    found = letter_of("accounting", buried())
    assert found is not None
    assert found[:9] == (
        LetterId("accounting", 1, 40), "orders", 2, 7, 1_700_000_000_000, "id-1", 3, "bug", "KeyError: 'x'",
    )  # fmt: skip
    assert found.headers == OWN


@pytest.mark.parametrize(
    "headers",
    [
        (),
        OWN,
        buried().headers[:-1],
        (*buried().headers, ("more", b"")),
        tuple((name, b"seven" if name == "dlq_offset" else value) for name, value in buried().headers),
        tuple((name, b"--7" if name == "dlq_offset" else value) for name, value in buried().headers),
    ],
)
def test_what_does_not_end_as_a_letter_does_is_none(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    assert letter_of("accounting", buried()._replace(headers=headers)) is None


def test_the_id_of_a_letter_is_what_is_written() -> None:
    assert LetterId.parse("accounting.1.40") == LetterId("accounting", 1, 40)
    assert str(LetterId.parse("accounting.1.40")) == "accounting.1.40"
    with pytest.raises(ValueError, match="not enough values"):
        LetterId.parse("accounting.1")


def test_an_errors_text_is_one_bounded_line_without_what_was_validated() -> None:
    with pytest.raises(ValidationError) as refused:
        Card.model_validate({"number": "4111-secret"})
    assert one_line(refused.value) == ("number: Input should be a valid integer, unable to parse string as an integer")
    assert one_line(ValueError("two\n  lines")) == "two"
    assert len(one_line(ValueError("x" * 1_000))) == LONGEST_LINE
