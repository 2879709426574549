"""Every key of a secret that is referred to is made by somebody, and no Pod is given another's."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cluster.pods import LABEL, Container, pods, services
from contracts import OPERATOR, Names
from waybill.kubernetes.resource import CLUSTER_CA, Resource
from waybill.kubernetes.secrets import TOKEN_KEYS, files, role_secret
from waybill.local.shop import migrated
from waybill.provision.postgres.desired import desired_roles

STRIMZIS_USER = frozenset({"password", "sasl.jaas.config"})
STRIMZIS_CA = frozenset({"ca.crt", "ca.p12", "ca.password"})
# What whoever runs the cluster brings along; docs/kubernetes.md tells of each.
BROUGHT = {"postgres-ca": frozenset({"ca.crt"}), "checkout-tls": frozenset({"tls.crt", "tls.key"})}
# What each service may be given beside its own user.
FOR_ALL = {CLUSTER_CA, TOKEN_KEYS}
FOR_ONE = {"accounting": {"gateway-client"}, "payment_gateway": {"gateway-keys"}}


class Reference(NamedTuple):
    """Who refers to which key of which secret."""

    who: str
    secret: str
    key: str


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield references to what nobody makes, secrets that lie in the manifests, and secrets of others."""
    made = _made(resources)
    for reference in _references(resources):
        if reference.key not in made.get(reference.secret, ()):
            yield f"{reference.who}: nobody makes {reference.key} in the secret {reference.secret}"
    yield from (
        f"Secret {each['metadata']['name']} stands in the manifests" for each in resources if each["kind"] == "Secret"
    )
    for pod in services(resources):
        name = pod.labels[LABEL]
        allowed = {name, *FOR_ALL, *FOR_ONE.get(name, ())}
        if name in migrated():
            allowed |= {role_secret(name), "postgres-ca"}
        given = {source.name for each in pod.containers for source in each.files.values() if source.kind == "secret"}
        yield from (f"{pod}: is given the secret {other}" for other in sorted(given - allowed))
    for pod in pods(resources):
        yield from (problem for each in pod.containers for problem in _needs(each))


def _made(resources: Sequence[Resource]) -> dict[str, frozenset[str]]:
    users = {each["metadata"]["name"]: STRIMZIS_USER for each in resources if each["kind"] == "KafkaUser"}
    authority = {
        f"{each['metadata']['name']}-cluster-ca-cert": STRIMZIS_CA for each in resources if each["kind"] == "Kafka"
    }
    ours = {name: frozenset(keys) for name, keys in files().items()}
    return BROUGHT | ours | users | authority


def _references(resources: Sequence[Resource]) -> Iterator[Reference]:
    for container in (each for pod in pods(resources) for each in pod.containers):
        kept = (source for source in container.files.values() if source.kind == "secret")
        yield from (Reference(str(container), source.name, source.key) for source in kept)
        asked = (entry.get("valueFrom", {}).get("secretKeyRef") for entry in container.raw.get("env", []))
        yield from (Reference(str(container), it["name"], it["key"]) for it in asked if it)
    for each in resources:
        who = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "TriggerAuthentication":
            yield from (Reference(who, it["name"], it["key"]) for it in each["spec"]["secretTargetRef"])
        if each["kind"] == "Ingress":
            shown = [tls["secretName"] for tls in each["spec"]["tls"]]
            yield from (Reference(who, name, key) for name in shown for key in ("tls.crt", "tls.key"))


def _needs(container: Container) -> Iterator[str]:
    """Yield the secrets that a `waybill` command would look for in its home, and not find."""
    home = container.env.get("WAYBILL_HOME")
    match container.module, container.words:
        case "waybill", ["provision", "--only", "postgres"]:
            wanted = {f"postgres-{role}": role_secret(role) for role in (OPERATOR, *desired_roles(Names()))}
        case "waybill", ["audit"]:
            wanted = {
                "postgres-auditor": "postgres-auditor",
                "kafka-auditor": "auditor",
                "gateway-key-operator": "gateway-operator",
            }
        case _:
            return
    for file, secret in wanted.items():
        source = container.files.get(f"{home}/secrets/{file}")
        if source is None or source.name != secret:
            yield f"{container}: secrets/{file} is not the secret {secret}"
