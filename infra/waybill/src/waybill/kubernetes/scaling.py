"""More processes when a group is behind: KEDA on the group's lag, never beyond what Kafka can share out."""

from contracts import SERVICES, TOPICS, Names, topics_consumed
from waybill.kubernetes.resource import BOOTSTRAP, CLUSTER_CA, KEDA, Resource, resource
from waybill.kubernetes.strimzi import user
from waybill.provision.kafka.state import Acl

SCALER = "scaler"  # KEDA's user: it may see how far groups and topics are, and read no record
LEAST = 2  # one may die, or be drained, while the other has taken over
LAG_A_PROCESS = 500  # records: about a second of one process's work
TRIGGER = {
    "bootstrapServers": BOOTSTRAP,
    "lagThreshold": str(LAG_A_PROCESS),
    "offsetResetPolicy": "earliest",
    "sasl": "scram_sha512",
    "tls": "enable",
    "version": "4.0.0",  # KEDA speaks 1.0's requests otherwise, some of which Kafka 4 dropped (KIP-896)
}
# Each change is a rebalance of the whole group, so: one process at a time, up soon, down late.
BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 30,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 600,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
    },
}


def scaling() -> list[Resource]:
    """Return KEDA's user, its credentials by reference, and how each service is scaled."""
    return [user(SCALER, _sees()), *_credentials(), *(_scaled(service) for service in SERVICES)]


def most(service: str) -> int:
    """Return how many processes of a service have a partition of each topic to work on."""
    return min(topic.partitions for topic in TOPICS if topic.name in topics_consumed(service))


def _sees() -> list[Acl]:
    names, principal = Names(), f"User:{SCALER}"
    topics = {names.topic(topic) for service in SERVICES for topic in topics_consumed(service)}
    groups = {names.group(service) for service in SERVICES}
    return [
        *(Acl(principal, "describe", "topic", name) for name in topics),
        *(Acl(principal, "describe", "group", name) for name in groups),
    ]


def _credentials() -> list[Resource]:
    told = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SCALER}, "data": {"username": SCALER}}
    spec = {
        "configMapTargetRef": [{"parameter": "username", "name": SCALER, "key": "username"}],
        "secretTargetRef": [
            {"parameter": "password", "name": SCALER, "key": "password"},
            {"parameter": "ca", "name": CLUSTER_CA, "key": "ca.crt"},
        ],
    }
    return [told, resource(KEDA, "TriggerAuthentication", SCALER, spec)]


def _scaled(service: str) -> Resource:
    trigger = {
        "type": "kafka",
        "metadata": TRIGGER | {"consumerGroup": Names().group(service)},  # all topics that the group commits
        "authenticationRef": {"name": SCALER},
    }
    spec = {
        "scaleTargetRef": {"name": service},
        "minReplicaCount": LEAST,
        "maxReplicaCount": most(service),
        "pollingInterval": 15,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": BEHAVIOR}},
        "triggers": [trigger],
    }
    return resource(KEDA, "ScaledObject", service, spec)
