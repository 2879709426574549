"""The shop's own programs: the gateway and the services, with the environment that each of them is given."""

import json
import os
import sys

from contracts import SERVICES as WITH_DATABASE
from exactly_once import Auth
from waybill import secrets
from waybill.local.layout import GATEWAY, LOOPBACK, SERVICES, Options
from waybill.local.programs import BEHIND, FIRST, Program, answers
from waybill.stack import Stack

GATEWAY_SERVICE = "payment_gateway"
STOP_DEADLINE_S = 6.0
KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "WAYBILL_LOG_LEVEL",
    "WAYBILL_ORDERS_MOST_AHEAD",
    "WAYBILL_OUTBOX_MOST_ROWS",
    "WAYBILL_RESERVATION_TTL_S",
)
OF_A_LAPTOP = {"WAYBILL_ORDERS_MOST_AHEAD": "3000"}  # shipped within some ten seconds
CREDENTIAL: dict[Auth, str] = {
    "scram": "WAYBILL_KAFKA_PASSWORD_FILE",
    "mtls": "WAYBILL_KAFKA_CERTIFICATE_FILE",
    "oauthbearer": "WAYBILL_KAFKA_TOKEN_FILE",
}


def gateway(options: Options) -> Program:
    """Return the payment gateway's stand-in."""
    return program(options.stack(), GATEWAY_SERVICE, "1", options.port(GATEWAY))


def services(options: Options) -> list[Program]:
    """Return every process of every service."""
    return [
        program(options.stack(), service, str(number), port)
        for service in SERVICES
        for number, port in enumerate(options.service_ports(service), start=1)
    ]


def program(stack: Stack, service: str, instance: str, port: int) -> Program:
    """Return one process of a service of a stack's namespace."""
    name = "gateway" if service == GATEWAY_SERVICE else f"{service}-{instance}"
    return Program(
        name=stack.names.prefix + name,
        command=[sys.executable, "-m", f"{service}.main"],
        env=environment(stack, service, instance, port),
        health=answers(f"http://{LOOPBACK}:{port}/health/ready"),
        port=port,
        stop_deadline_s=STOP_DEADLINE_S,
        niceness=FIRST if service == "checkout" else BEHIND,
    )


def migrated() -> list[str]:
    """Return what has a database to migrate."""
    return [GATEWAY_SERVICE, *WITH_DATABASE]


def migration_environment(stack: Stack, service: str) -> dict[str, str]:
    """Return the environment in which a service's migrations run: as the operator."""
    return _kept() | _postgres(stack, service, "operator") | {"WAYBILL_SERVICE": service}


def environment(stack: Stack, service: str, instance: str, port: int) -> dict[str, str]:
    """Return the environment of one process of a service: addresses, names, and files with secrets."""
    names, folder = stack.names, stack.home / "secrets"
    own = {
        "WAYBILL_NAMESPACE": stack.namespace,
        "WAYBILL_SERVICE": service,
        "WAYBILL_INSTANCE": instance,
        "WAYBILL_HTTP_HOST": LOOPBACK,
        "WAYBILL_HTTP_PORT": str(port),
        "WAYBILL_REGISTRY_URL": stack.registry_url,
        "WAYBILL_JWKS_FILE": str(folder / "jwks.json"),
        "WAYBILL_GATEWAY_URL": stack.gateway_url,
        "WAYBILL_GATEWAY_KEY_FILE": str(folder / "gateway-key-accounting"),
        "WAYBILL_GATEWAY_KEYS_FILE": str(folder / "gateway-keys.json"),
    }
    kafka = {
        "WAYBILL_KAFKA_BOOTSTRAP": stack.kafka_bootstrap,
        "WAYBILL_KAFKA_AUTH": stack.kafka_auth,
        "WAYBILL_KAFKA_USER": names.user(service),
        CREDENTIAL[stack.kafka_auth]: str(stack.kafka_credential(service)),
        "WAYBILL_KAFKA_CA_FILE": str(stack.kafka_ca),
    }
    database = _postgres(stack, service, names.role(service)) if service in migrated() else {}
    return OF_A_LAPTOP | _kept() | own | kafka | database


def ensure_gateway_keys(stack: Stack) -> None:
    """Make the gateway's API keys, and the file in which it reads them."""
    keys = {who: secrets.ensure(stack.home, f"gateway-key-{who}") for who in ("accounting", "operator")}
    secrets.write(secrets.path_of(stack.home, "gateway-keys.json"), json.dumps(keys))


def _postgres(stack: Stack, service: str, role: str) -> dict[str, str]:
    return {
        "WAYBILL_NAMESPACE": stack.namespace,
        "WAYBILL_POSTGRES_HOST": stack.postgres_host,
        "WAYBILL_POSTGRES_PORT": str(stack.postgres_port),
        "WAYBILL_POSTGRES_DATABASE": stack.names.database(service),
        "WAYBILL_POSTGRES_USER": role,
        "WAYBILL_POSTGRES_PASSWORD_FILE": str(stack.home / "secrets" / f"postgres-{role}"),
    }


def _kept() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ}
