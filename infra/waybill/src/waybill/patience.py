"""Asks Kafka again what it can't answer for a moment: leaders and coordinators move when a broker dies."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from waybill.errors import UsageError

PATIENCE_S = 15.0
PAUSE_S = 0.25
REFUSED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
Answer = TypeVar("Answer")


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask again what Kafka could not answer for the moment. KafkaException: it refuses, or still can't."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() in REFUSED or time.monotonic() >= deadline:
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
