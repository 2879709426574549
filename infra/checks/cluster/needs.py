"""Which ways through the network our Pods need: each address that one of their settings names."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from cluster.pods import LABEL, Container, Pod, pods
from contracts import SERVICES as WITH_SCHEMAS
from waybill.kubernetes.resource import CLUSTER, Resource
from waybill.local.layout import SERVICES
from waybill.stack import Stack

KAFKA = "kafka"
HTTPS = 443
WHERE_KEYS_ARE = {"url": "WAYBILL_JWKS_URL", "discovery": "WAYBILL_TOKEN_ISSUER"}


class Way(NamedTuple):
    """Who speaks to whom: by the name label of our own Pods, else by host."""

    source: str
    target: str
    port: int


def needed(resources: Sequence[Resource]) -> Iterator[Way]:
    """Yield every way that is needed."""
    for pod in pods(resources):
        for container in pod.containers:
            for host, port in _addresses(container):
                yield _way(pod, host, port, resources)


def _way(pod: Pod, host: str, port: int, resources: Sequence[Resource]) -> Way:
    """Follow a Service to the Pods behind it, and to their port."""
    name = host.removesuffix(".svc").partition(".")[0]
    if name == f"{CLUSTER}-kafka-bootstrap":
        return Way(pod.labels[LABEL], KAFKA, port)
    for service in (each for each in resources if each["kind"] == "Service" and each["metadata"]["name"] == name):
        (entry,) = (each for each in service["spec"]["ports"] if each["port"] == port)
        for behind in (each for each in pods(resources) if service["spec"]["selector"].items() <= each.labels.items()):
            ports = {it["name"]: it["containerPort"] for each in behind.containers for it in each.raw.get("ports", [])}
            return Way(pod.labels[LABEL], behind.labels[LABEL], ports[entry["targetPort"]])
    return Way(pod.labels[LABEL], host, port)


def _addresses(container: Container) -> Iterator[tuple[str, int]]:
    env = container.env
    match container.module, container.words:
        case "waybill", ["provision", "--only", part]:
            yield from _of_stack(container, {str(part)})
        case "waybill", ["audit"]:
            yield from _of_stack(container, {"postgres", "kafka", "gateway"})
        case _ if "WAYBILL_POSTGRES_DATABASE" in env:
            yield env["WAYBILL_POSTGRES_HOST"], int(env["WAYBILL_POSTGRES_PORT"])
    if container.package in SERVICES and not container.module:
        yield from _of_service(container)
    if found := re.match(r"jdbc:postgresql://(.+?)/", env.get("APICURIO_DATASOURCE_URL", "")):
        yield _host_and_port(found[1])


def _of_service(container: Container) -> Iterator[tuple[str, int]]:
    env = container.env
    yield _host_and_port(env["WAYBILL_KAFKA_BOOTSTRAP"])
    if container.package in WITH_SCHEMAS:
        yield _of_url(env["WAYBILL_REGISTRY_URL"])
    if "WAYBILL_GATEWAY_URL" in env:
        yield _of_url(env["WAYBILL_GATEWAY_URL"])
    if env.get("WAYBILL_JWKS_FROM") in WHERE_KEYS_ARE:
        yield _of_url(env[WHERE_KEYS_ARE[env["WAYBILL_JWKS_FROM"]]])


def _of_stack(container: Container, parts: set[str]) -> Iterator[tuple[str, int]]:
    source = container.files[f"{container.env['WAYBILL_HOME']}/stack.json"]
    stack = Stack.model_validate_json(container.pod.maps[source.name][source.key])
    addresses = {
        "postgres": (stack.postgres_host, stack.postgres_port),
        "registry": _of_url(stack.registry_url),
        "kafka": _host_and_port(stack.kafka_bootstrap),
        "gateway": _of_url(stack.gateway_url),
    }
    yield from (addresses[part] for part in parts)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _of_url(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or HTTPS
