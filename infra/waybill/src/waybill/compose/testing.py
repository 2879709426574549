"""Kafka, PostgreSQL and the registry in containers, for the tests that the local stack serves otherwise.

As a program, in the project's folder, it sees to the images that containers need, and exits 1 with the reason if it
can't; `--images` lists them.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from testcontainers.compose import DockerCompose

from waybill.compose.docker import COMPOSE_FILE, Docker
from waybill.compose.layout import BROKERS, Layout
from waybill.errors import UsageError
from waybill.stack import Stack

DOCKERFILE = Path("infra/docker/service.Dockerfile")
INFRASTRUCTURE = [*BROKERS, "registry"]  # and whatever they wait for
PULL_DEADLINE_S = 300.0


def images(project: Path) -> list[str]:
    """Return what a stack's images are built from, and what it runs beside them, but for what a profile adds."""
    compose: dict[str, Any] = yaml.safe_load((project / COMPOSE_FILE).read_text())
    run = {each["image"] for each in compose["services"].values() if not {"build", "profiles"} & each.keys()}
    bases = re.findall(r"^FROM (\S+:\S+)", (project / DOCKERFILE).read_text(), re.MULTILINE)
    return sorted(run | set(bases))


def missing(project: Path, wanted: Sequence[str] = ()) -> str:
    """Return why containers can't be tested here, or nothing; images (the stack's, or `wanted`) are pulled."""
    docker = Docker(project)
    try:
        docker.run("info")
        docker.compose("version")
        for image in wanted or images(project):
            _have(docker, image)
    except UsageError as error:
        return str(error)
    return ""


def _have(docker: Docker, image: str) -> None:
    if not docker.run("images", "--quiet", image):
        docker.run("pull", "--quiet", image, deadline_s=PULL_DEADLINE_S)


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


def main(words: Sequence[str]) -> int:
    """List the images, or see to them."""
    project = Path.cwd()
    if list(words) == ["--images"]:
        print(*images(project), sep="\n")
        return 0
    if why := missing(project):
        print(why)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
