"""Asks again what can't be answered for a moment: Kafka's leaders and coordinators move when a broker dies."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from waybill.errors import UsageError

PATIENCE_S = 15.0
PAUSE_S = 0.25
REFUSED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
Answer = TypeVar("Answer")


def patiently(ask: Callable[[], Answer], passing: type[Exception] = KafkaException) -> Answer:
    """Ask again what could not be answered for the moment. The `passing` error: Kafka refuses, or it did not pass."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except passing as error:
            if _refused(error) or time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_S)


def answered(ask: Callable[[], Answer]) -> Answer:
    """Ask likewise, for a command. UsageError: Kafka refuses, or still can't answer."""
    try:
        return patiently(ask)
    except KafkaException as error:
        raise cant_be_read(error) from error


def cant_be_read(error: KafkaException) -> UsageError:
    """Return what a user is told."""
    return UsageError(f"Kafka can't be read: {error.args[0].str()}; see `waybill status`")


def _refused(error: Exception) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in REFUSED
