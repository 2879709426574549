"""Users and what each may do in Kafka, derived from who owns and who consumes which topic."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from contracts.consumption import topics_consumed
from contracts.names import Names
from contracts.topics import RELAYING, SERVICES, TOPICS, dead_letters, relay_progress

AUDITOR = "auditor"
LETTERS = "letters"  # reads every dead letter, and sends what operators redrive to where it came from
OPERATOR = "operator"  # a super user by the brokers' configuration: no permission here names it
USERS = (*SERVICES, AUDITOR, LETTERS)
CLUSTER = "kafka-cluster"  # Kafka's only name of that kind

Resource = Literal["topic", "group", "transactional_id", "cluster"]
Operation = Literal["read", "write", "describe"]


class Permission(NamedTuple):
    """A user may do one thing to one resource; `prefixed`: to every resource whose name starts so."""

    user: str
    operation: Operation
    resource: Resource
    name: str
    prefixed: bool = False


def permissions(names: Names) -> frozenset[Permission]:
    """Return every permission of a namespace, under the names that Kafka knows. What is not here is refused."""
    granted = {permission for service in SERVICES for permission in _of_service(names, service)}
    return frozenset(granted.union(_of_auditor(names), _of_letters(names)))


def _of_service(names: Names, service: str) -> Iterator[Permission]:
    user = names.user(service)
    for topic in TOPICS:
        if topic.owner == service:
            yield from _each(user, ("write", "describe"), "topic", names.topic(topic.name))
    own_progress = {relay_progress(service)} if service in RELAYING else set()
    for topic_read in topics_consumed(service) | own_progress:
        yield from _each(user, ("read", "describe"), "topic", names.topic(topic_read))
    yield Permission(user, "read", "group", names.group(service))
    for permission in _each(user, ("write", "describe"), "transactional_id", names.transactional_ids(service)):
        yield permission._replace(prefixed=True)


def _of_auditor(names: Names) -> Iterator[Permission]:
    user = names.user(AUDITOR)
    for topic in TOPICS:
        yield from _each(user, ("read", "describe"), "topic", names.topic(topic.name))
    for service in SERVICES:
        yield Permission(user, "describe", "group", names.group(service))
        yield Permission(user, "describe", "transactional_id", names.transactional_ids(service), prefixed=True)
    yield Permission(user, "describe", "group", names.group(AUDITOR))  # librdkafka asks for it, even to read by hand
    yield Permission(user, "describe", "cluster", CLUSTER)


def _of_letters(names: Names) -> Iterator[Permission]:
    user = names.user(LETTERS)
    for service in SERVICES:
        yield from _each(user, ("read", "describe"), "topic", names.topic(dead_letters(service)))
    for topic in frozenset[str]().union(*map(topics_consumed, SERVICES)):
        yield from _each(user, ("write", "describe"), "topic", names.topic(topic))


def _each(user: str, operations: tuple[Operation, ...], resource: Resource, name: str) -> Iterator[Permission]:
    return (Permission(user, operation, resource, name) for operation in operations)
