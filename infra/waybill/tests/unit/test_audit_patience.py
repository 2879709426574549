"""The audit asks again what Kafka can't answer for the moment, and takes a refusal for what it is."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from waybill.audit.kafka import patiently


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
