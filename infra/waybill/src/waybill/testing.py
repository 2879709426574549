"""The pytest plugin of this repository: one real stack for the whole run, a namespace of it for each who asks.

WAYBILL_TEST_HOME names a running stack to use instead, for quick turns while developing; WAYBILL_TEST_STACK=compose
starts one in containers, with testcontainers. Some tests need PostgreSQL
alone: WAYBILL_TEST_POSTGRES is the URL of one that runs; as a program this module runs one while its input is open.
"""

import asyncio
import itertools
import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from waybill.local.programs import Program
    from waybill.stack import Stack

PORTS_NEEDED = 150
PUBLIC = "jwks.json"
POSTGRES = "WAYBILL_TEST_POSTGRES"
STACK = "WAYBILL_TEST_STACK"
POSTGRES_DEADLINE_S = 60.0
FAREWELLS_DEADLINE_S = 5.0
BASE_PORTS = range(27_000, 32_000, 200)

_numbers = itertools.count(1)


def free_base_port() -> int:
    """Return a base port under which no port of a stack is taken; runs side by side seldom choose the same."""
    for base in random.sample(BASE_PORTS, len(BASE_PORTS)):
        if all(_is_free(base + offset) for offset in range(PORTS_NEEDED)):
            return base
    raise RuntimeError(f"no {PORTS_NEEDED} free ports in a row in {BASE_PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def leaks(home: Path, pids: list[int]) -> list[str]:
    """Return where secrets of a stack can be read outside their files: in logs, command lines, environments, cores."""
    marks = {
        line: file.name
        for folder in ("secrets", "issuer/secrets", "tls")
        for file in (home / folder).iterdir()
        if file.name != PUBLIC
        for line in re.findall(r"[A-Za-z0-9_+/=-]{32,}", file.read_text())
    }
    places = {str(log): log.read_text(errors="replace") for log in (home / "logs").iterdir()}
    for pid in pids:
        for kind in ("cmdline", "environ"):
            places[f"{kind} of {pid}"] = Path(f"/proc/{pid}/{kind}").read_text(errors="replace")
    cores = [f"everything in a core file of {pid}" for pid in pids if leaves_a_core(pid)]
    read = [f"{secret} in {place}" for place, text in places.items() for mark, secret in marks.items() if mark in text]
    return cores + read


def leaves_a_core(pid: int) -> bool:
    """Tell whether the kernel would write a process's memory down when it crashes."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    return not re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def forget(home: Path) -> None:
    """Delete what a stack that was taken down keeps outside its home: root's database."""
    from waybill.local.postgres import FOR_ROOT, data_folder  # noqa: PLC0415  # unit tests should not wait for it

    if (place := data_folder(home).parent).is_relative_to(FOR_ROOT):
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def postgres_alone() -> Iterator[str]:
    """Run PostgreSQL without the rest of a stack; yield the URL by which its operator comes in."""
    from waybill.local.layout import LOOPBACK, Options  # noqa: PLC0415  # unit tests should not wait for it
    from waybill.local.postgres import program  # noqa: PLC0415
    from waybill.local.programs import die_with_parent  # noqa: PLC0415
    from waybill.secrets import read  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        postgres = program(Options(home=home, cache=home, base_port=free_base_port()))
        group = pwd.getpwnam(postgres.user).pw_gid if postgres.user else None
        process = subprocess.Popen(
            [*postgres.command, "-c", "fsync=off"],
            cwd=postgres.cwd,
            user=postgres.user,
            group=group,
            extra_groups=[] if postgres.user else None,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # it takes no lock that another thread could hold
            stderr=subprocess.DEVNULL,
        )
        try:
            _await_health(postgres)
            yield f"postgresql+asyncpg://operator:{read(home, 'postgres-operator')}@{LOOPBACK}:{postgres.port}/postgres"
        finally:
            process.send_signal(postgres.stop_signal)
            process.wait(POSTGRES_DEADLINE_S)
            forget(home)


def _await_health(program: "Program") -> None:
    deadline = time.monotonic() + POSTGRES_DEADLINE_S

    async def ask() -> str | None:
        return await program.health()

    while (why := asyncio.run(ask())) is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(why)
        time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run PostgreSQL alone, for tests that need no Kafka."""
    if running := os.environ.get(POSTGRES):
        yield running
        return
    with postgres_alone() as url:
        yield url


@pytest.fixture(scope="session")
async def farewells() -> AsyncIterator[None]:
    """Wait in the end for the connections of the last tests, which close in the background."""
    from exactly_once.kafka.closing import late  # noqa: PLC0415  # unit tests should not wait for it

    yield
    loop = asyncio.get_running_loop()
    if closing := {task for task in late if task.get_loop() is loop}:
        await asyncio.wait(closing, timeout=FAREWELLS_DEADLINE_S)


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    farewells: None,  # noqa: ARG001  # they need the brokers no longer
) -> Iterator["Stack"]:
    """Start a real stack without the shop's services: three brokers, PostgreSQL, the registry."""
    from waybill.local import control  # noqa: PLC0415  # unit tests should not wait for it
    from waybill.local.layout import Options, cache_folder  # noqa: PLC0415
    from waybill.stack import Stack  # noqa: PLC0415

    if running := os.environ.get("WAYBILL_TEST_HOME"):
        yield Stack.load(Path(running))
        return
    home = tmp_path_factory.mktemp("stack")
    if os.environ.get(STACK) == "compose":
        from waybill.compose.testing import infrastructure  # noqa: PLC0415  # likewise

        with infrastructure(Path.cwd(), home / "home", free_base_port()) as containers:
            yield containers
        return
    control.bring_up(Options(home=home, cache=cache_folder(), base_port=free_base_port(), with_services=False))
    try:
        yield Stack.load(home)
    finally:
        control.take_down(home)
        forget(home)


@pytest.fixture(scope="module")
def namespaced_stack(stack: "Stack") -> "Stack":
    """Return the stack seen through a fresh namespace, provisioned: topics, users, permissions, databases, schemas."""
    from waybill import provision  # noqa: PLC0415

    mine = stack.in_namespace(f"t{os.getpid() % 100_000}x{next(_numbers)}")
    asyncio.run(provision.apply(mine))
    return mine


if __name__ == "__main__":
    with postgres_alone() as url:
        print(url, flush=True)
        sys.stdin.read()
