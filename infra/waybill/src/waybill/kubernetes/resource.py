"""A Kubernetes resource as plain data, and the names that several of ours share."""

from collections.abc import Mapping
from typing import Any

Resource = dict[str, Any]

NAMESPACE = "waybill"
CLUSTER = "waybill"  # Strimzi's name of the Kafka cluster: secrets, services and pods begin with it
BROKERS = 3
CLIENTS_PORT = 9093
BOOTSTRAP = f"{CLUSTER}-kafka-bootstrap.{NAMESPACE}.svc:{CLIENTS_PORT}"  # from other namespaces too
CLUSTER_CA = f"{CLUSTER}-cluster-ca-cert"
STRIMZI = "kafka.strimzi.io/v1"
KEDA = "keda.sh/v1alpha1"


# With a KafkaTopic its records go. With a KafkaUser, on Kafka 4.3.1, whatever broker restarts refuses all others.
NEVER_PRUNED = {"argocd.argoproj.io/sync-options": "Prune=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}


def resource(api_version: str, kind: str, name: str, spec: Mapping[str, Any]) -> Resource:
    """Return a resource; one of Strimzi's says in which cluster it is, and that nobody may prune it."""
    metadata: dict[str, Any] = {"name": name}
    if api_version == STRIMZI:
        metadata |= {"labels": {"strimzi.io/cluster": CLUSTER}} if kind != "Kafka" else {}
        metadata["annotations"] = dict(NEVER_PRUNED)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
