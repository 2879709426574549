"""Kafka, PostgreSQL and the registry in containers, for the tests that the local stack serves otherwise."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from testcontainers.compose import DockerCompose

from waybill.compose.layout import BROKERS, Layout
from waybill.stack import Stack

INFRASTRUCTURE = [*BROKERS, "registry"]  # and whatever they wait for


def environment(home: Path, first_port: int) -> dict[str, str]:
    """Return what makes a project of its own: another name, another home, other ports, from `first_port` on."""
    ports = {name: first_port + number for number, name in enumerate(Layout().ports)}
    return {
        "WAYBILL_STACK": "compose",
        "COMPOSE_PROJECT_NAME": f"waybill-test-{os.getpid()}",
        "WAYBILL_COMPOSE_HOME": str(home),
        **{f"WAYBILL_COMPOSE_{name.replace('-', '_').upper()}_PORT": str(port) for name, port in ports.items()},
    }


@contextmanager
def infrastructure(project: Path, home: Path, first_port: int) -> Iterator[Stack]:
    """Run the infrastructure of a project's compose file; commands started meanwhile mean this stack."""
    (home / "logs").mkdir(parents=True)
    with _set(environment(home, first_port)):
        compose = DockerCompose(project, build=True, quiet_build=True, services=INFRASTRUCTURE)
        try:
            compose.start()
            yield Stack.load(home).model_copy(update={"services": {}})
        finally:
            compose.services = None  # what prepared it goes too
            compose.stop()


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
