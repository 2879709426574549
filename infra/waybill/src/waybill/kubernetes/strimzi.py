"""Topics, users and permissions as Strimzi's operators take them, out of the state that `waybill provision` wants."""

from collections import defaultdict
from collections.abc import Iterable

from contracts import Names
from waybill.kubernetes.resource import BROKERS, STRIMZI, Resource, resource
from waybill.provision.kafka.state import Acl, desired

TYPES = {"topic": "topic", "group": "group", "transactional_id": "transactionalId", "cluster": "cluster"}


def topics() -> list[Resource]:
    """Return a KafkaTopic for each topic of the contracts."""
    wanted = desired(Names(), BROKERS).topics
    return [
        resource(
            STRIMZI,
            "KafkaTopic",
            name,
            {"partitions": it.partitions, "replicas": it.replicas, "config": dict(sorted(it.config.items()))},
        )
        for name, it in sorted(wanted.items())
    ]


def users() -> list[Resource]:
    """Return a KafkaUser with its permissions for each user of the contracts."""
    wanted = desired(Names(), BROKERS)
    return [
        user(name, (acl for acl in wanted.acls if acl.principal == f"User:{name}")) for name in sorted(wanted.users)
    ]


def user(name: str, acls: Iterable[Acl]) -> Resource:
    """Return a KafkaUser that logs in by SCRAM; Strimzi makes its password, in a secret of the same name."""
    operations: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for acl in sorted(acls):
        operations[acl.resource, acl.name, acl.pattern].append(acl.operation.capitalize())
    spec = {
        "authentication": {"type": "scram-sha-512"},
        "authorization": {
            "type": "simple",
            "acls": [{"resource": _target(*on), "operations": allowed} for on, allowed in sorted(operations.items())],
        },
    }
    return resource(STRIMZI, "KafkaUser", name, spec)


def _target(kind: str, name: str, pattern: str) -> dict[str, str]:
    if kind == "cluster":  # there is only one, and Strimzi gives it no name
        return {"type": "cluster"}
    return {"type": TYPES[kind], "name": name, "patternType": "prefix" if pattern == "prefixed" else "literal"}
