"""Commands ask again what Kafka can't answer for the moment, and take a refusal for what it is."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from waybill import patience
from waybill.errors import UsageError
from waybill.patience import answered, patiently


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
