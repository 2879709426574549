"""What a stack is asked to be, and where its parts lie: options, ports, folders."""

import os
import socket
from pathlib import Path

from pydantic import BaseModel, Field

from contracts import Names
from exactly_once import Auth
from waybill.errors import UsageError
from waybill.home import home_folder
from waybill.stack import Stack

OPTIONS_FILE = "options.json"
LOG_NAME = "supervisor.log"
LOOPBACK = "127.0.0.1"
DEFAULT_BASE_PORT = 18_000
SERVICES = {"checkout": 100, "inventory": 110, "accounting": 120, "fulfillment": 130, "letters": 140}
MOST_INSTANCES = 10
CLIENT, INTERNAL, CONTROLLER = 11, 21, 31
POSTGRES, REGISTRY, REGISTRY_MANAGEMENT, GATEWAY = 41, 51, 52, 61


class Options(BaseModel, frozen=True):
    """What `waybill up` was told."""

    home: Path
    cache: Path
    base_port: int = Field(default=DEFAULT_BASE_PORT, ge=1_024, le=65_000)
    namespace: str = ""
    brokers: int = Field(default=3, ge=1, le=3)
    instances: dict[str, int] = {}
    with_services: bool = True
    auth: Auth = "scram"

    def port(self, offset: int) -> int:
        """Return a port of this stack."""
        return self.base_port + offset

    def instances_of(self, service: str) -> int:
        """Return how many processes a service has."""
        return self.instances.get(service, 1)

    def service_ports(self, service: str) -> list[int]:
        """Return the ports of a service's processes."""
        return [self.port(SERVICES[service] + number) for number in range(self.instances_of(service))]

    def ports(self) -> dict[str, int]:
        """Return every port that this stack will listen on, by who listens."""
        ports = {"postgres": self.port(POSTGRES), "registry": self.port(REGISTRY)}
        ports["registry's management"] = self.port(REGISTRY_MANAGEMENT)
        for broker in range(self.brokers):
            for kind, offset in {"": CLIENT, " internal": INTERNAL, " controller": CONTROLLER}.items():
                ports[f"kafka-{broker + 1}{kind}"] = self.port(offset + broker)
        if self.with_services:
            ports["gateway"] = self.port(GATEWAY)
            for service in SERVICES:
                ports |= {f"{service}-{n + 1}": port for n, port in enumerate(self.service_ports(service))}
        return ports

    def check_ports(self) -> None:
        """UsageError names the ports that somebody else has taken; Kafka itself would say so after a minute."""
        taken = [f"{port} ({name})" for name, port in self.ports().items() if is_taken(port)]
        if taken:
            raise UsageError(f"these ports are taken: {', '.join(taken)}; choose others with --base-port")

    def stack(self) -> Stack:
        """Return how commands reach this stack."""
        brokers = [f"{LOOPBACK}:{self.port(CLIENT + broker)}" for broker in range(self.brokers)]
        urls = {name: [f"http://{LOOPBACK}:{port}" for port in self.service_ports(name)] for name in SERVICES}
        return Stack(
            home=self.home,
            namespace=self.namespace,
            brokers=self.brokers,
            kafka_bootstrap=",".join(brokers),
            kafka_auth=self.auth,
            postgres_host=LOOPBACK,
            postgres_port=self.port(POSTGRES),
            registry_url=f"http://{LOOPBACK}:{self.port(REGISTRY)}/apis/ccompat/v7",
            services=urls if self.with_services else {},
            gateway_url=f"http://{LOOPBACK}:{self.port(GATEWAY)}",
        )


def cache_folder() -> Path:
    """Return the folder for what is downloaded: WAYBILL_CACHE, or one in the user's own cache."""
    return Path(os.environ.get("WAYBILL_CACHE") or "~/.cache/waybill").expanduser().absolute()


def default_options(brokers: int = 3) -> Options:
    """Return what `waybill up` without arguments starts: the environment's home, cache, ports and namespace."""
    namespace = os.environ.get("WAYBILL_NAMESPACE", "")
    checked(namespace, [])
    try:
        base_port = int(os.environ.get("WAYBILL_BASE_PORT") or DEFAULT_BASE_PORT)
        return Options(
            home=home_folder(), cache=cache_folder(), base_port=base_port, namespace=namespace, brokers=brokers
        )
    except ValueError as error:
        raise UsageError(f"WAYBILL_BASE_PORT is no port: {os.environ.get('WAYBILL_BASE_PORT')}") from error


def checked(namespace: str, instances: list[str]) -> dict[str, int]:
    """Return the instances of `inventory=2` and the like. UsageError: no such service, namespace or number."""
    try:
        Names(namespace)
    except ValueError as error:
        raise UsageError(str(error)) from error
    numbers: dict[str, int] = {}
    for each in instances:
        name, _, number = each.partition("=")
        if name not in SERVICES or not number.isdigit() or not 1 <= int(number) <= MOST_INSTANCES:
            services = ", ".join(SERVICES)
            raise UsageError(f"--instances takes SERVICE=1..{MOST_INSTANCES} with one of {services}, not {each!r}")
        numbers[name] = int(number)
    return numbers


def is_taken(port: int) -> bool:
    """Tell whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
        return False
