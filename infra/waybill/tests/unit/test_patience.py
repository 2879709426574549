"""Commands ask again what can't be answered for the moment, and take a refusal for what it is."""

import time
from pathlib import Path
from types import SimpleNamespace

import confluent_kafka
import pytest
import requests
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from waybill import patience
from waybill.errors import UsageError
from waybill.local.layout import Options
from waybill.patience import answered, patiently
from waybill.placing import settle
from waybill.stack import Stack
from waybill.watcher import Watcher


def failing_once(code: int) -> list[Exception | str]:
    return [KafkaException(KafkaError(code)), "an answer"]


def ask(answers: list[Exception | str]) -> str:
    answer = answers.pop(0)
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_COORDINATOR])
def test_what_leaders_can_not_answer_while_they_move_is_asked_again(code: int) -> None:
    answers = failing_once(code)

    assert patiently(lambda: ask(answers)) == "an answer"


def test_a_refusal_is_not_asked_again() -> None:
    answers = failing_once(KafkaError.TOPIC_AUTHORIZATION_FAILED)

    with pytest.raises(KafkaException):
        patiently(lambda: ask(answers))
    assert answers == ["an answer"]


def test_a_command_says_in_a_sentence_what_kafka_still_can_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    answers = failing_once(KafkaError._DESTROY_BROKER)  # noqa: SLF001  # the client has no public name for it

    with pytest.raises(UsageError, match=r"Kafka can't be read: .*; see `waybill status`"):
        answered(lambda: ask(answers))
    assert answered(lambda: ask(answers)) == "an answer"


def test_another_error_is_asked_again_where_it_is_named() -> None:
    answers: list[Exception | str] = [requests.ConnectionError(), requests.ConnectionError(), "an answer"]

    with pytest.raises(requests.ConnectionError):
        patiently(lambda: ask(answers))
    assert patiently(lambda: ask(answers), requests.RequestException) == "an answer"


class Restless:
    """A consumer of a cluster of which a broker has just died."""

    assigned: list[TopicPartition]

    def __init__(self, _: object) -> None:
        self._answers = failing_once(KafkaError._DESTROY_BROKER)  # noqa: SLF001  # likewise

    def list_topics(self, name: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(topics={name: SimpleNamespace(partitions=[0])})

    def get_watermark_offsets(self, _: TopicPartition, timeout: float) -> tuple[int, int]:
        if len(self._answers) > 1:
            ask(self._answers)
        return 0, 7

    def assign(self, places: list[TopicPartition]) -> None:
        Restless.assigned = places

    def consume(self, _: int, timeout: float) -> list[object]:
        time.sleep(timeout)
        return []

    def close(self) -> None:
        pass


class Talkative(Restless):
    """A consumer to which a record comes, and nothing after it."""

    def __init__(self, _: object) -> None:
        self._answers = ["no incident"]
        self._values = [b"\0\0\0\0\7what an order has become"]

    def consume(self, most: int, timeout: float) -> list[object]:
        if self._values:
            value = self._values.pop()
            return [SimpleNamespace(value=lambda: value, error=lambda: None)]
        return super().consume(most, timeout)


@pytest.fixture
def unregistered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    """A stack whose registry is away."""
    monkeypatch.setattr(Stack, "kafka_client", lambda *_: {})
    stack = Options.model_validate({"home": tmp_path, "cache": tmp_path}).stack()
    return stack.model_copy(update={"registry_url": "http://127.0.0.1:1"})


def test_who_watches_begins_at_the_end_although_a_broker_dies(
    monkeypatch: pytest.MonkeyPatch, unregistered: Stack
) -> None:
    monkeypatch.setattr(confluent_kafka, "Consumer", Restless)
    with Watcher(unregistered):
        assert [place.offset for place in Restless.assigned] == [7, 7]


async def test_who_waits_for_orders_that_can_not_be_followed_is_told_so(
    monkeypatch: pytest.MonkeyPatch, unregistered: Stack
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.1)
    monkeypatch.setattr(confluent_kafka, "Consumer", Talkative)
    with Watcher(unregistered) as watcher:
        said = "the orders can't be followed: the schema registry can't be read: ConnectionError; see `waybill status`"
        with pytest.raises(UsageError, match=said):
            await settle(watcher, {"an order"}, 5)


async def test_a_record_that_is_no_event_is_told_likewise(monkeypatch: pytest.MonkeyPatch, unregistered: Stack) -> None:
    monkeypatch.setattr(confluent_kafka, "Consumer", Talkative)
    monkeypatch.setattr(Watcher, "_schema", lambda *_: "string")
    with Watcher(unregistered) as watcher, pytest.raises(UsageError, match=r"the orders can't be followed: \w+"):
        await settle(watcher, {"an order"}, 5)


def test_who_leaves_does_not_wait_for_the_registry(monkeypatch: pytest.MonkeyPatch, unregistered: Stack) -> None:
    monkeypatch.setattr(confluent_kafka, "Consumer", Talkative)
    with Watcher(unregistered) as watcher:
        time.sleep(0.3)
        assert watcher.settled({"an order"}) == 0
        left_at = time.monotonic()
    assert time.monotonic() - left_at < 2
