"""Topics, permissions and users: as the contracts want them, and in the words that brokers use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from contracts import TOPICS, USERS, Names, permissions


class TopicState(NamedTuple):
    """A topic's shape and every setting that was given to it."""

    partitions: int
    replicas: int
    config: Mapping[str, str]


class Acl(NamedTuple):
    """A permission as brokers store it; names are those of the Kafka protocol, in lower case."""

    principal: str
    operation: str
    resource: str
    name: str
    pattern: str = "literal"
    permission: str = "allow"
    host: str = "*"

    def __str__(self) -> str:
        what = f"{self.resource} {self.name}" + ("*" if self.pattern == "prefixed" else "")
        where = "" if self.host == "*" else f" from {self.host}"
        return f"{self.principal} {self.permission} {self.operation} on {what}{where}"


@dataclass(frozen=True, slots=True)
class KafkaState:
    """What a namespace has in Kafka."""

    topics: Mapping[str, TopicState]
    acls: frozenset[Acl]
    users: frozenset[str]


def desired(names: Names, brokers: int) -> KafkaState:
    """Return what the contracts want in a namespace on so many brokers."""
    return KafkaState(
        topics={
            names.topic(topic.name): TopicState(topic.partitions, topic.replicas(brokers), topic.config(brokers))
            for topic in TOPICS
        },
        acls=frozenset(
            Acl(f"User:{it.user}", it.operation, it.resource, it.name, "prefixed" if it.prefixed else "literal")
            for it in permissions(names)
        ),
        users=frozenset(names.user(user) for user in USERS),
    )


def touches(names: Names, acl: Acl) -> bool:
    """Tell whether a permission is this namespace's concern: it names one of its users or reaches its resources."""
    user = acl.principal.removeprefix("User:")
    if names.owns(user):
        return True
    if acl.resource == "cluster":  # one for all namespaces: a user of another one is that one's concern
        return user.rpartition(".")[2] not in USERS
    if acl.pattern == "prefixed":
        ours = (
            *(names.topic(topic.name) for topic in TOPICS),
            *(names.transactional_ids(user) for user in USERS),
        )
        return names.owns(acl.name) or any(name.startswith(acl.name) for name in ours)
    return acl.name == "*" or names.owns(acl.name)
