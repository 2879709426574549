"""Asks each broker whether it knows what is new."""

import errno
import socket
import ssl
import time
from collections.abc import Callable, Collection
from typing import Any

import confluent_kafka.admin
from confluent_kafka import KafkaException

from waybill.stack import Stack

DEADLINE_S = 15.0
ANSWER_S = 3.0
POLL_S = 0.1
NOBODY_THERE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}
THREADS = 8  # a broker's network threads load a certificate one after another, and take connections in turn


def brokers(stack: Stack) -> dict[str, str]:
    """Return where each broker listens for clients, by its name."""
    return {f"kafka-{number}": place for number, place in enumerate(stack.kafka_bootstrap.split(","), start=1)}


def behind(stack: Stack, knows: Callable[[str], bool], deadline_s: float = DEADLINE_S) -> list[str]:
    """Return the brokers that do not know it, each asked (by its place) until the deadline, and once at least."""
    left, until = brokers(stack), time.monotonic() + deadline_s
    while True:
        left = {name: place for name, place in left.items() if not knows(place)}
        if not left or time.monotonic() > until:
            return sorted(left)
        time.sleep(POLL_S)


def lets_in(client: dict[str, Any], topics: Collection[str] = ()) -> Callable[[str], bool]:
    """Return the question whether a broker lets a client in, and tells it of all these topics, which it may describe.

    `client` is a librdkafka client's configuration.
    """

    def knows(place: str) -> bool:
        alone = confluent_kafka.admin.AdminClient({**client, "bootstrap.servers": place})
        try:
            return alone.list_topics(timeout=ANSWER_S).topics.keys() >= set(topics)
        except KafkaException:
            return False

    return knows


def is_down(place: str) -> bool:
    """Tell whether nobody listens there: a broker listens once it has caught up with all that the cluster knows."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except socket.gaierror:  # a container that is down has no name
        return True
    except OSError as error:
        return error.errno in NOBODY_THERE
    return False


def shows(certificate: str) -> Callable[[str], bool]:
    """Return the question whether a broker shows this certificate (PEM) to whoever connects."""
    wanted = ssl.PEM_cert_to_DER_cert(certificate)

    def knows(place: str) -> bool:
        host, _, port = place.rpartition(":")
        try:
            shown = {ssl.get_server_certificate((host, int(port)), timeout=ANSWER_S) for _ in range(THREADS)}
        except OSError:
            return False
        return {ssl.PEM_cert_to_DER_cert(each) for each in shown} == {wanted}

    return knows
