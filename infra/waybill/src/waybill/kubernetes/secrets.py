"""The secrets of a cluster that neither Strimzi nor a provider makes: random, once, kept in a home of their own."""

import base64
from collections.abc import Mapping
from pathlib import Path

from contracts import OPERATOR, Names
from waybill import secrets
from waybill.kubernetes.resource import BOOTSTRAP, BROKERS, NAMESPACE, Resource
from waybill.local.keys import PUBLIC_KEYS, SIGNING_KEY, ensure_token_key
from waybill.local.layout import SERVICES
from waybill.local.shop import ensure_gateway_keys
from waybill.provision.postgres.desired import desired_roles
from waybill.stack import Stack

TOKEN_KEYS = "token-keys"  # noqa: S105  # a name, no secret


def role_secret(role: str) -> str:
    """Return the name of the secret with a role's password in PostgreSQL."""
    return f"postgres-{role.replace('_', '-')}"


def files() -> dict[str, dict[str, str]]:
    """Return which key of which secret holds which file of `WAYBILL_HOME/secrets`."""
    roles = sorted((OPERATOR, *desired_roles(Names())))
    return {role_secret(role): {"password": f"postgres-{role}"} for role in roles} | {
        "gateway-client": {"key": "gateway-key-accounting"},
        "gateway-operator": {"key": "gateway-key-operator"},
        "gateway-keys": {"gateway-keys.json": "gateway-keys.json"},
        TOKEN_KEYS: {PUBLIC_KEYS: PUBLIC_KEYS},
        "token-signing-key": {SIGNING_KEY: SIGNING_KEY},  # no pod is given it: who signs tokens takes it from here
    }


def manifest(home: Path) -> Resource:
    """Return all of them as one list for `kubectl apply`; what is not in `home` yet is made there."""
    ensure_token_key(home)
    ensure_gateway_keys(stack(home))
    for role in (OPERATOR, *desired_roles(Names())):
        secrets.ensure(home, f"postgres-{role}")
    items = [_secret(home, name, keys) for name, keys in files().items()]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def stack(home: Path) -> Stack:
    """Return how the cluster's parts are reached from within it; from outside, `waybill token` needs no more."""
    names = {service: [f"http://{service}.{NAMESPACE}.svc:8000"] for service in SERVICES}
    return Stack(
        home=home,
        namespace="",
        brokers=BROKERS,
        kafka_bootstrap=BOOTSTRAP,
        postgres_host=f"postgres.{NAMESPACE}.svc",
        postgres_port=5432,
        registry_url=f"http://registry.{NAMESPACE}.svc:8080/apis/ccompat/v7",
        services=names,
        gateway_url=f"http://gateway.{NAMESPACE}.svc:8000",
    )


def _secret(home: Path, name: str, keys: Mapping[str, str]) -> Resource:
    data = {key: base64.b64encode(secrets.read(home, file).encode()).decode() for key, file in keys.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data}
