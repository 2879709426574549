"""The start waits for what is not there yet, and ends the process where it may not do its work."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from chassis import workers
from chassis.workers import Start
from exactly_once import NotPermitted, Retryable

SENTENCE = "as Kafka user inventory it may not write topic orders.stock"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RETRY_EVERY_S", 0.01)
    monkeypatch.setattr(workers, "SETTLE_S", 0.05)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


class Scene:
    """A start whose only step fails in turn with these, and then succeeds."""

    def __init__(self, *failures: Exception, for_ever: Exception | None = None) -> None:
        self.failures, self.for_ever = list(failures), for_ever
        self.ended = asyncio.Event()
        self.start = Start(refused=self.ended.set)

    async def step(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        if self.for_ever is not None:
            raise self.for_ever

    async def run(self) -> None:
        async def starting() -> None:
            await self.start.patiently(self.step)

        self.start.launch(starting())
        async with asyncio.timeout(5):
            await self.start.over()


async def test_a_right_that_arrives_a_moment_later_is_waited_for_in_silence(logs: list[Any]) -> None:
    scene = Scene(NotPermitted(SENTENCE))
    await scene.run()
    assert (scene.start.health(), scene.ended.is_set(), logs) == (None, False, [])


async def test_a_right_that_stays_missing_ends_the_process_with_one_sentence(logs: list[Any]) -> None:
    scene = Scene(Retryable("no broker answers"), for_ever=NotPermitted(SENTENCE))
    await scene.run()
    assert scene.ended.is_set()
    assert scene.start.health() == SENTENCE
    assert [entry["why"] for entry in logs if entry["event"] == "start.refused"] == [SENTENCE]


async def test_what_is_not_there_yet_is_waited_for(logs: list[Any]) -> None:
    scene = Scene(*[Retryable("no broker answers")] * 20)
    await scene.run()
    assert (scene.start.health(), scene.ended.is_set()) == (None, False)
    assert [entry["why"] for entry in logs] == ["no broker answers"]
