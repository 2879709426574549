"""What is scaled is there, and never beyond the partitions that Kafka can share out."""

from collections.abc import Iterator, Sequence

from chassis import ServiceSettings
from chassis.starting import WORKERS_CONNECTIONS
from cluster.pods import LABEL, services
from contracts import SERVICES, TOPICS, Names, topics_consumed
from waybill.kubernetes.resource import NAMESPACE, Resource
from waybill.provision.postgres.desired import desired_roles

DOORBELL = 1  # the relay's, that hears of commits


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield targets that are not there, groups of others, and replicas that would have no partition."""
    scaled = [each for each in resources if each["kind"] == "ScaledObject"]
    credentials = {each["metadata"]["name"] for each in resources if each["kind"] == "TriggerAuthentication"}
    for each in scaled:
        yield from (f"ScaledObject {each['metadata']['name']}: {why}" for why in _target(each["spec"], resources))
        yield from (f"ScaledObject {each['metadata']['name']}: {why}" for why in _triggers(each["spec"], credentials))
        yield from (f"ScaledObject {each['metadata']['name']}: {why}" for why in _connections(each["spec"], resources))


def _target(spec: Resource, resources: Sequence[Resource]) -> Iterator[str]:
    name = spec["scaleTargetRef"]["name"]
    if name not in {pod.name for pod in services(resources)}:
        yield f"there is no Deployment {name}"
        return
    if name not in SERVICES:
        yield f"{name} belongs to no group that could be behind"
        return
    partitions = min(topic.partitions for topic in TOPICS if topic.name in topics_consumed(name))
    if spec["maxReplicaCount"] > partitions:
        yield f"{spec['maxReplicaCount']} replicas for {partitions} partitions"
    if spec.get("minReplicaCount", 0) < 1:
        yield "HTTP, the relay and the sweeps need a process at any time"
    if any(each["kind"] == "Deployment" and each["metadata"]["name"] == name and "replicas" in each["spec"]
           for each in resources):  # fmt: skip
        yield "the Deployment sets its replicas too: each apply would undo the scaling"


def _connections(spec: Resource, resources: Sequence[Resource]) -> Iterator[str]:
    """Yield that PostgreSQL would turn some processes away: all that may be there at once, one on its way in or out."""
    roles = desired_roles(Names())
    scaled = (each for each in services(resources) if each.name == spec["scaleTargetRef"]["name"])
    for pod in (each for each in scaled if each.labels[LABEL] in roles):
        (main,) = (each for each in pod.containers if each.raw["name"] == "service")
        pool = main.env.get("WAYBILL_POSTGRES_POOL", ServiceSettings.model_fields["postgres_pool"].default)
        each_one = int(pool) + WORKERS_CONNECTIONS + DOORBELL
        wanted = each_one * (spec["maxReplicaCount"] + 1)
        if wanted > (most := roles[pod.labels[LABEL]].connection_limit):
            yield f"its processes want {wanted} connections, and its role in PostgreSQL has {most}"


def _triggers(spec: Resource, credentials: set[str]) -> Iterator[str]:
    for trigger in spec["triggers"]:
        if (group := trigger["metadata"]["consumerGroup"]) != Names().group(spec["scaleTargetRef"]["name"]):
            yield f"looks at the group {group}"
        if (name := trigger["authenticationRef"]["name"]) not in credentials:
            yield f"there is no TriggerAuthentication {name}"
        if f".{NAMESPACE}.svc" not in trigger["metadata"]["bootstrapServers"]:
            yield "KEDA lies in another namespace, and would not find Kafka"
