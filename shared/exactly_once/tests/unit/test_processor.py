"""What a handler's signature may be."""

from collections.abc import Sequence
from typing import Self

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once import Event, Processor


class Asked(Event, topic="questions", key="who"):
    who: str


class Answered(Event, topic="answers", key="who"):
    who: str


class Refused(Event, topic="answers", key="who"):
    who: str


class Memory:
    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        return cls()

    async def save(self, connection: AsyncConnection) -> None:
        return


class Oracle:
    pass


def test_the_signature_is_the_topology() -> None:
    processor = Processor("answering")

    @processor.handles(Asked)
    def answer(question: Asked, memory: Memory) -> Answered | Refused | None:
        return Answered(who=question.who)

    assert processor.topics == {"questions"}
    assert processor.emits == {Answered, Refused}
    assert processor.handlers[Asked].working_set is Memory


def test_a_handler_may_return_several_events() -> None:
    processor = Processor("answering")

    @processor.handles(Asked)
    def answer(question: Asked, memory: Memory) -> list[Answered | Refused]:
        return [Answered(who=question.who), Refused(who=question.who)]

    assert processor.emits == {Answered, Refused}


def test_a_second_handler_of_one_type_is_refused() -> None:
    processor = Processor("answering")

    @processor.handles(Asked)
    def answer(question: Asked, memory: Memory) -> Answered:
        return Answered(who=question.who)

    with pytest.raises(TypeError, match="two handlers"):
        processor.handles(Asked)(answer)


def test_a_handler_that_awaits_is_refused() -> None:
    async def answer(question: Asked, memory: Memory) -> Answered:
        return Answered(who=question.who)

    with pytest.raises(TypeError, match="must be `def answer"):
        Processor("answering").handles(Asked)(answer)


def test_a_handler_of_another_event_is_refused() -> None:
    def answer(question: Answered, memory: Memory) -> None:
        return

    with pytest.raises(TypeError, match="must take a Asked first"):
        Processor("answering").handles(Asked)(answer)


def test_a_handler_that_returns_no_event_is_refused() -> None:
    def answer(question: Asked, memory: Memory) -> str:
        return question.who

    with pytest.raises(TypeError, match="which is no event"):
        Processor("answering").handles(Asked)(answer)


def test_a_call_names_its_resource() -> None:
    processor = Processor("answering")

    @processor.calls(Asked)
    async def ask(question: Asked, oracle: Oracle) -> str:
        return "yes"

    @processor.handles(Asked)
    def answer(question: Asked, memory: Memory, outcome: str) -> Answered:
        return Answered(who=question.who)

    assert processor.outside_calls[Asked].resource is Oracle
    assert processor.handlers[Asked].takes_outcome


def test_a_call_that_does_not_await_is_refused() -> None:
    def ask(question: Asked, oracle: Oracle) -> str:
        return "yes"

    with pytest.raises(TypeError, match="must be `async def ask"):
        Processor("answering").calls(Asked)(ask)
