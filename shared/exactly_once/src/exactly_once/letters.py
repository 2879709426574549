"""Dead letters as an operator sees them: found by their places, and sent back one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from exactly_once.batch import Partition, Record
from exactly_once.dead_letters import topic_of
from exactly_once.envelope import (
    DLQ_AT,
    DLQ_ATTEMPT,
    DLQ_EVENT_ID,
    DLQ_HEADERS,
    DLQ_KIND,
    DLQ_OFFSET,
    DLQ_PARTITION,
    DLQ_TIMESTAMP_MS,
    DLQ_TOPIC,
    DLQ_WHY,
    Headers,
    text_header,
)
from exactly_once.errors import RejectRecord
from exactly_once.kafka.browsing import Browser, browsing, send
from exactly_once.kafka.settings import KafkaSettings
from exactly_once.redrive import redriven

MOST_READ = 2_000  # records for one page, wanted or not


class LetterId(NamedTuple):
    """Where a letter lies: whose it is, the partition and the offset in its group's topic of letters."""

    group: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the id that `str` wrote. ValueError: it is none."""
        group, partition, offset = text.split(".")
        return cls(group, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.group}.{self.partition}.{self.offset}"


class Letter(NamedTuple):
    """A rejected record as it came, and where and why it stopped; times in milliseconds, `at` as ISO 8601."""

    id: LetterId
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    event_id: str
    attempt: int
    kind: str
    why: str
    at: str
    record: Record

    @property
    def headers(self) -> Headers:
        """The record's own headers."""
        return self.record.headers[: -len(DLQ_HEADERS)]


def letter_of(group: str, record: Record) -> Letter | None:
    """Return what a record in a group's topic of letters says, None where it is no letter."""
    told = record.headers[-len(DLQ_HEADERS) :]
    numbers = [text_header(told, name) for name in (DLQ_PARTITION, DLQ_OFFSET, DLQ_TIMESTAMP_MS, DLQ_ATTEMPT)]
    if tuple(name for name, _ in told) != DLQ_HEADERS or not all(
        number.removeprefix("-").isdecimal() for number in numbers
    ):
        return None
    partition, offset, timestamp_ms, attempt = map(int, numbers)
    place = LetterId(group, record.source.partition, record.offset)
    topic, event_id, kind, why, at = (
        text_header(told, name) for name in (DLQ_TOPIC, DLQ_EVENT_ID, DLQ_KIND, DLQ_WHY, DLQ_AT)
    )
    return Letter(place, topic, partition, offset, timestamp_ms, event_id, attempt, kind, why, at, record)


class Page(NamedTuple):
    """Some letters, in order of their ids; `following`: behind which id to go on, None at the end."""

    letters: Sequence[Letter]
    following: LetterId | None


@dataclass(frozen=True)
class Letters:
    """The dead letters of some groups. Each method connects anew; Retryable: Kafka does not answer, or refuses."""

    kafka: KafkaSettings
    groups: Sequence[str]

    async def ask(self) -> None:
        """Find out whether they can be read."""
        async with browsing(self.kafka) as browser:
            await browser.partitions([topic_of(group) for group in self.groups])

    async def page(self, after: LetterId | None, most: int, wanted: Callable[[Letter], bool]) -> Page:
        """Return the next letters that are wanted, from behind `after` on: at most so many, of MOST_READ records."""
        found: list[Letter] = []
        last, read = after, 0
        async with browsing(self.kafka) as browser:
            async for record in browser.records(await self._starts(browser, after)):
                if len(found) == most or read == MOST_READ:
                    return Page(found, last)
                group = record.source.topic.removesuffix(topic_of(""))
                letter = letter_of(group, record)
                last, read = LetterId(group, record.source.partition, record.offset), read + 1
                if letter is not None and wanted(letter):
                    found.append(letter)
        return Page(found, None)

    async def find(self, wanted: LetterId) -> Letter | None:
        """Return a letter, None where there is none: not yet, not any more, or another record."""
        place = Partition(topic_of(wanted.group), wanted.partition)
        if wanted.group not in self.groups:
            return None
        async with browsing(self.kafka) as browser:
            if place not in await browser.partitions([place.topic]):
                return None
            async for record in browser.records({place: wanted.offset}):
                return letter_of(wanted.group, record) if record.offset == wanted.offset else None
        return None

    async def redrive(self, letter: Letter) -> int:
        """Send a letter's record to where it came from; return its new offset.

        Sent twice, it is processed once, unless its group has no database. RejectRecord: it can't be sent there: there
        is no such place any more, or it is too large for it.
        """
        again = redriven(letter.record.key, letter.record.value, letter.record.headers)
        async with browsing(self.kafka) as browser:
            if Partition(again.topic, again.partition) not in await browser.partitions([again.topic]):
                raise RejectRecord(f"there is no partition {again.partition} of {again.topic} that we may write")
        return await send(self.kafka, again)

    async def _starts(self, browser: Browser, after: LetterId | None) -> dict[Partition, int]:
        """Return where to begin in each partition, behind a letter."""
        behind = (Partition(topic_of(after.group), after.partition), after.offset) if after else (Partition("", 0), 0)
        partitions = await browser.partitions([topic_of(group) for group in self.groups])
        return {each: behind[1] + 1 if each == behind[0] else 0 for each in partitions if each >= behind[0]}
