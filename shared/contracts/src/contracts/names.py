"""Names as Kafka, PostgreSQL and the registry know them: the logical name with its namespace in front."""

import re
from dataclasses import dataclass

from contracts.topics import SERVICES

NAMESPACE = re.compile(r"[a-z][a-z0-9]{0,15}")
SHARED = frozenset({"operator", "registry"})  # one for all namespaces: the super user, the registry's own database
# A namespace of this name would mix with the default one: "orders" + "stock" would be the topic "orders.stock".
TAKEN = frozenset(
    {*SERVICES, "auditor", "letters", "operator", "orders", "payment", "postgres", "products", "registry"}
    | {"template0", "template1"}
)


@dataclass(frozen=True, slots=True)
class Names:
    """The names within one namespace; the empty one is the default. ValueError: no name for a namespace."""

    namespace: str = ""

    def __post_init__(self) -> None:
        if self.namespace and not NAMESPACE.fullmatch(self.namespace):
            raise ValueError(f"a namespace is a letter and up to 15 letters or digits, not {self.namespace!r}")
        if self.namespace in TAKEN:
            raise ValueError(f"{self.namespace!r} is part of a name already: choose another namespace")

    @property
    def prefix(self) -> str:
        """Return what stands before every name in Kafka: "t1." or nothing."""
        return f"{self.namespace}." if self.namespace else ""

    def topic(self, name: str) -> str:
        """Return the topic in Kafka of a logical one."""
        return self.prefix + name

    def group(self, service: str) -> str:
        """Return the consumer group of a service."""
        return self.prefix + service

    def user(self, name: str) -> str:
        """Return the Kafka user of a service, the auditor or the operator (the same in every namespace)."""
        return name if name in SHARED else self.prefix + name

    def transactional_id(self, service: str, instance: str) -> str:
        """Return the transactional id of a service's instance ("1", or "relay")."""
        return f"{self.transactional_ids(service)}{instance}"

    def transactional_ids(self, service: str) -> str:
        """Return the prefix of a service's transactional ids."""
        return f"{self.prefix}{service}."

    def database(self, service: str) -> str:
        """Return the PostgreSQL database of a service."""
        return self.role(service)

    def role(self, name: str) -> str:
        """Return the PostgreSQL role of a service, the auditor or the operator (the same in every namespace)."""
        return f"{self.namespace}_{name}" if self.namespace and name not in SHARED else name

    def subject(self, topic: str, record_name: str) -> str:
        """Return the registry's subject of a record type in a logical topic (TopicRecordNameStrategy)."""
        return f"{self.topic(topic)}-{record_name}"

    def owns(self, name: str) -> bool:
        """Tell whether a name in Kafka (a topic, a group, a user, the start of transactional ids) lies in here."""
        if self.namespace:
            return name.startswith(self.prefix)
        return name.split(".", maxsplit=1)[0] in TAKEN

    def logical(self, name: str) -> str:
        """Return a name of this namespace in Kafka without the prefix; others stay as they are."""
        return name.removeprefix(self.prefix)
