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


def resource(
    api_version: str, kind: str, name: str, spec: Mapping[str, Any], annotations: Mapping[str, str] | None = None
) -> Resource:
    """Return a resource; one of Strimzi's that lies inside a cluster says in which."""
    metadata: dict[str, Any] = {"name": name}
    if api_version == STRIMZI and kind != "Kafka":
        metadata["labels"] = {"strimzi.io/cluster": CLUSTER}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
