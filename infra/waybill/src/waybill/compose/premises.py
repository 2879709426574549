"""Sees that the stack in containers can start, before anything does: Docker's age, its memory, ports, secrets."""

import re
from pathlib import Path

from waybill import secrets
from waybill.compose.docker import Docker
from waybill.compose.layout import Layout
from waybill.errors import UsageError
from waybill.local.layout import is_taken

OLDEST_ENGINE, OLDEST_COMPOSE = (20, 10), (2, 24)
MEMORY_NEEDED = 2560 << 20
DATA = frozenset({"postgres", "kafka-1", "kafka-2", "kafka-3"})


def check(docker: Docker, layout: Layout, home: Path) -> None:
    """Look, and make nothing but the home's folder. UsageError: the sentence of the first thing that is in the way."""
    check_versions(
        docker.run("version", "--format", "{{.Server.Version}}").strip(),
        docker.compose("version", "--short").strip(),
    )
    check_memory(int(docker.run("info", "--format", "{{json .MemTotal}}")))
    check_secrets(home, docker.volumes())
    check_ports(layout)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # Docker would make it root's
    except OSError as error:
        raise UsageError(f"{home} can't be written: {error.strerror}") from error


def check_versions(engine: str, compose: str) -> None:
    """UsageError: Docker, or its compose plugin, is too old."""
    for what, found, oldest in (("Docker", engine, OLDEST_ENGINE), ("docker compose", compose, OLDEST_COMPOSE)):
        numbers = re.match(r"v?(\d+)\.(\d+)", found)
        if numbers and (int(numbers[1]), int(numbers[2])) < oldest:
            needed = ".".join(map(str, oldest))
            raise UsageError(f"{what} {found} is too old: this needs {needed} or later")


def check_memory(total: int) -> None:
    """UsageError: Docker has too little memory."""
    if total < MEMORY_NEEDED:
        raise UsageError(
            f"Docker has {total >> 20} MiB of memory, the stack needs {MEMORY_NEEDED >> 20}: give it more, "
            "or use the local stack with `waybill up --brokers 1`"
        )


def check_secrets(home: Path, volumes: set[str]) -> None:
    """UsageError: there is data, and the secrets that it needs are gone."""
    needed = ("postgres-operator", "kafka-operator")
    lost = [name for name in needed if not secrets.path_of(home, name).exists()]
    if lost and volumes & DATA:
        raise UsageError(
            f"the secret {lost[0]} is missing in {home / 'secrets'}, and the stack's data can't be read without it: "
            "put it back, or begin anew with `docker compose down --volumes`"
        )


def check_ports(layout: Layout) -> None:
    """UsageError names the ports that somebody else has taken."""
    taken = [f"{port} ({name})" for name, port in layout.ports.items() if is_taken(port)]
    if taken:
        raise UsageError(f"these ports are taken: {', '.join(taken)}; choose others in .env, see .env.example")
