"""The Kafka cluster: what the protocol and the contracts ask of it, and the disks that hold what topics keep."""

import math

from contracts import LETTERS, SERVICES, TOPICS
from waybill.kubernetes.resource import BROKERS, CLIENTS_PORT, CLUSTER, STRIMZI, Resource, resource

VERSION, METADATA_VERSION = "4.3.1", "4.3-IV0"
CLIENTS = (*SERVICES, LETTERS, "audit")  # the pods that speak to Kafka, by their label
GIB = 1 << 30
COMPACTED_GIB = 1  # a partition's share, roomy: the latest value a key
HEADROOM = 1.5  # open segments, what compaction copies, a partition that a lost broker leaves to the others

# What the guarantees and the latencies rest on, as in the stack without Kubernetes; what is there for a laptop's
# size (threads, few partitions of Kafka's own topics) stays with Kafka's defaults here.
CONFIG: dict[str, str | int | bool] = {
    "default.replication.factor": BROKERS,
    "min.insync.replicas": BROKERS - 1,
    "offsets.topic.replication.factor": BROKERS,
    "transaction.state.log.replication.factor": BROKERS,
    "transaction.state.log.min.isr": BROKERS - 1,
    "unclean.leader.election.enable": False,
    "auto.create.topics.enable": False,
    "allow.everyone.if.no.acl.found": False,
    "broker.session.timeout.ms": 6_000,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 6_000,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
    "transaction.max.timeout.ms": 60_000,
    "ssl.enabled.protocols": "TLSv1.3",
    "ssl.protocol": "TLSv1.3",
}


def kafka() -> list[Resource]:
    """Return the cluster: one listener for clients, TLS and SCRAM, open to the pods that need it."""
    listener = {
        "name": "clients",
        "port": CLIENTS_PORT,
        "type": "internal",
        "tls": True,
        "authentication": {"type": "scram-sha-512"},
        "networkPolicyPeers": [
            {"podSelector": {"matchExpressions": [_in(CLIENTS)]}},
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}},
                "podSelector": {"matchLabels": {"app": "keda-operator"}},  # reads how far groups are
            },
        ],
    }
    spec = {
        "kafka": {
            "version": VERSION,
            "metadataVersion": METADATA_VERSION,
            "listeners": [listener],
            "authorization": {"type": "simple"},
            "config": CONFIG,
        },
        "entityOperator": {"topicOperator": {}, "userOperator": {}},
    }
    return [resource(STRIMZI, "Kafka", CLUSTER, spec)]


def nodes() -> list[Resource]:
    """Return brokers that are controllers too, each with a disk for what the topics may keep."""
    disk = {"id": 0, "type": "persistent-claim", "size": f"{disk_gib()}Gi", "kraftMetadata": "shared"}
    spec = {
        "replicas": BROKERS,
        "roles": ["broker", "controller"],
        "storage": {"type": "jbod", "volumes": [disk]},
        "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "jvmOptions": {"-Xms": "384m", "-Xmx": "512m"},
    }
    return [resource(STRIMZI, "KafkaNodePool", "brokers", spec)]


def disk_gib() -> int:
    """Return how many GiB a broker needs when every topic is as full as its retention allows."""
    kept = sum(
        topic.partitions * topic.replicas(BROKERS) * (COMPACTED_GIB if topic.compacted else topic.retention_bytes / GIB)
        for topic in TOPICS
    )
    return math.ceil(kept / BROKERS * HEADROOM)


def _in(names: tuple[str, ...]) -> dict[str, object]:
    return {"key": "app.kubernetes.io/name", "operator": "In", "values": list(names)}
