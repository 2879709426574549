"""The overlays hold what the contracts say: every topic, user, permission and cluster, and no other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from waybill.kubernetes.brokers import CONFIG
from waybill.kubernetes.resource import BROKERS, CLUSTER, NAMESPACE, Resource
from waybill.kubernetes.scaling import SCALER, scaling
from waybill.kubernetes.strimzi import topics, users

# Strimzi sets these itself, and drops ours with a warning (KafkaClusterSpec.FORBIDDEN_PREFIXES of 1.2.0).
STRIMZIS = (
    "advertised.", "authorizer.", "broker.", "controller.", "cordoned.log.dirs", "host.name",
    "inter.broker.listener.name", "listener.", "listeners", "log.dir", "metadata.log.dir", "node.id", "password.",
    "port", "process.roles",
    "prometheus.metrics.reporter.", "sasl.", "security.", "ssl.", "super.user",
)  # fmt: skip
NOT_STRIMZIS = (
    "broker.heartbeat.interval.ms", "broker.session.timeout.ms", "controller.quorum.election.backoff.max.ms",
    "controller.quorum.election.timeout.ms", "controller.quorum.fetch.timeout.ms", "controller.socket.timeout.ms",
    "sasl.server.max.receive.size", "ssl.cipher.suites", "ssl.enabled.protocols", "ssl.protocol",
    "ssl.secure.random.implementation",
)  # fmt: skip


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield where topics, users, brokers or namespaces are not what the contracts say."""
    yield from _kind(resources, "KafkaTopic", topics())
    wanted = [*users(), *(each for each in scaling() if each["kind"] == "KafkaUser")]
    scaled = any(each["kind"] == "ScaledObject" for each in resources)
    yield from _kind(resources, "KafkaUser", [each for each in wanted if scaled or each["metadata"]["name"] != SCALER])
    yield from _brokers(resources)
    for each in resources:
        if each["kind"] != "Namespace" and each["metadata"].get("namespace") != NAMESPACE:
            yield f"{each['kind']} {each['metadata']['name']} is not in the namespace {NAMESPACE}"


def is_strimzis(name: str) -> bool:
    """Tell whether a broker's setting is one that Strimzi makes itself."""
    return name.startswith(STRIMZIS) and not name.startswith(NOT_STRIMZIS)


def _kind(resources: Sequence[Resource], kind: str, wanted: list[Resource]) -> Iterator[str]:
    found = {each["metadata"]["name"]: _said(each) for each in resources if each["kind"] == kind}
    expected = {each["metadata"]["name"]: _said(each) for each in wanted}
    yield from (f"{kind} {name} is missing" for name in expected.keys() - found.keys())
    yield from (f"{kind} {name} is in no contract" for name in found.keys() - expected.keys())
    for name in found.keys() & expected.keys():
        if found[name] != expected[name]:
            yield f"{kind} {name} is not what the contracts say"


def _said(resource: Resource) -> Mapping[str, Any]:
    metadata = {name: value for name, value in resource["metadata"].items() if name != "namespace"}
    return {**resource, "metadata": metadata}


def _brokers(resources: Sequence[Resource]) -> Iterator[str]:
    for kafka in (each for each in resources if each["kind"] == "Kafka"):
        config = kafka["spec"]["kafka"]["config"]
        yield from (f"Kafka: {name} is not {value}" for name, value in CONFIG.items() if config.get(name) != value)
        for name in config:
            if is_strimzis(name):
                yield f"Kafka: {name} is Strimzi's to set: it would be dropped"
    pools = [each for each in resources if each["kind"] == "KafkaNodePool"]
    for role in ("broker", "controller"):
        nodes = sum(each["spec"]["replicas"] for each in pools if role in each["spec"]["roles"])
        if nodes < BROKERS:
            yield f"Kafka has {nodes} {role}s, and wants {BROKERS} copies"
    for each in pools:
        if each["metadata"].get("labels", {}).get("strimzi.io/cluster") != CLUSTER:
            yield f"KafkaNodePool {each['metadata']['name']} is in no cluster"
