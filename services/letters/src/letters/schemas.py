"""What operators are shown of a dead letter."""

from base64 import b64encode
from typing import Annotated, Self

from fastapi import Path, Query
from pydantic import BaseModel

from chassis.fields import PRINTABLE
from exactly_once.envelope import CORRELATION_ID, TYPE, text_header
from exactly_once.letters import Letter

MOST_BYTES = 64 << 10  # of a value, and of each header, that is shown
LONGEST_TEXT = 200  # of what a foreign producer may have written
ID = r"^[a-z]{1,50}\.[0-9]{1,6}\.[0-9]{1,15}$"

Id = Annotated[str, Path(pattern=ID, description="Whose it is, its partition and its offset: accounting.0.17")]
After = Annotated[str | None, Query(pattern=ID, description="The last letter of the page before")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most")]
Group = Annotated[str | None, Query(max_length=50, pattern=PRINTABLE, description="Of this group only")]
Topic = Annotated[str | None, Query(max_length=100, pattern=PRINTABLE, description="From this topic only")]
Kind = Annotated[str | None, Query(pattern="^(undecodable|rejected|conflict|bug)$", description="Of this class only")]


class LetterAnswer(BaseModel):
    """A dead letter: which record stopped where, how often it has been redriven before, and why.

    `kind` is undecodable, rejected, conflict or bug. `timestamp_ms` is the record's own time.
    """

    id: str
    group: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    event_id: str
    event_type: str
    correlation_id: str
    attempt: int
    kind: str
    why: str
    at: str
    links: dict[str, str]

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """Return what is shown of a letter."""
        path = f"/v1/dead-letters/{letter.id}"
        about = {name: getattr(letter, name) for name in _SAME}
        return cls(
            id=str(letter.id),
            group=letter.id.group,
            event_type=text_header(letter.headers, TYPE)[:LONGEST_TEXT],
            correlation_id=text_header(letter.headers, CORRELATION_ID)[:LONGEST_TEXT],
            links={"self": path, "redrive": f"{path}/redrive"},
            **about,
        )


class RawHeader(BaseModel):
    """A header as it came; `value` is base64, null where there was none."""

    name: str
    value: str | None


class RawRecord(BaseModel):
    """The record as it came, in base64: the first 64 KiB of its value, and how large that is in all."""

    key: str | None
    value: str | None
    value_bytes: int
    headers: list[RawHeader]

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """Return the record that a letter holds."""
        headers = [RawHeader(name=name[:LONGEST_TEXT], value=_base64(value)) for name, value in letter.headers[:100]]
        key, value = letter.record.key, letter.record.value
        return cls(key=_base64(key), value=_base64(value), value_bytes=len(value or b""), headers=headers)


class LetterDetails(LetterAnswer):
    """A dead letter with its record.

    A record may hold what its customer would show to few, such as a payment token: it is there for who may redrive it
    (`ops:write`), else null.
    """

    record: RawRecord | None = None


class LettersAnswer(BaseModel):
    """Dead letters, group by group, the oldest of a partition first; `links.next` where there may be more."""

    letters: list[LetterAnswer]
    links: dict[str, str]


class RedriveAnswer(BaseModel):
    """Where a record was sent again. Sent twice, it is processed once, and not at all where it was in the meantime."""

    id: str
    topic: str
    partition: int
    offset: int
    event_id: str


_SAME = ("topic", "partition", "offset", "timestamp_ms", "event_id", "attempt", "kind", "why", "at")


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value[:MOST_BYTES]).decode()
