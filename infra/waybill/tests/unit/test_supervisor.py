"""A supervisor on a disk that is full for a while: it goes on, tells again afterwards, and ends as any other."""

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from waybill import provision
from waybill.local import artifacts, issuing, kafka, logfile, postgres, registry, state, supervisor
from waybill.local.layout import Options
from waybill.local.programs import Program
from waybill.local.supervisor import Supervisor
from waybill.testing import free_base_port

DEADLINE_S = 60.0
SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


async def well() -> str | None:
    return None


async def nothing(*arguments: Any) -> None:
    """What there is nothing to do for: neither PostgreSQL nor Kafka runs."""


def of_two_sleepers(home: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """A stack whose two programs sleep."""
    for folder in ("logs", "stopped"):
        (home / folder).mkdir()
    for name in ("provision_postgres", "apply"):
        monkeypatch.setattr(provision, name, nothing)
    monkeypatch.setattr(artifacts, "fetch", lambda *_, **__: {"kafka": [], "registry": [home]})
    monkeypatch.setattr(kafka, "programs", lambda *_: [])
    for module in (postgres, registry):
        sleeper = Program(module.__name__.rpartition(".")[2], SLEEPS, well, 1)
        monkeypatch.setattr(module, "program", lambda *_, sleeper=sleeper: sleeper)
    return Supervisor(Options(home=home, cache=home, base_port=free_base_port(), brokers=1, with_services=False))


@asynccontextmanager
async def up(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["asyncio.Task[int]"]:
    """Have a supervisor live until it is told to end."""
    living = asyncio.create_task(of_two_sleepers(home, monkeypatch).live())
    await until(lambda: phase(home) == "up")
    yield living
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(living, DEADLINE_S) == 0


async def until(ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not ask():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def phase(home: Path) -> str | None:
    now = state.read(home)
    return now.phase if now else None


class Disk:
    """A disk that is full at times; `met` is what could not be written then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.met: set[str] = set()
        for module, name in ((state, "write"), (logfile, "bound"), (issuing, "renew_tokens"), (supervisor, "progress")):
            monkeypatch.setattr(module, name, self._writing(name, getattr(module, name)))

    def _writing(self, name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if not self.is_full:
                return write(*arguments)
            self.met.add(name)
            raise OSError(errno.ENOSPC, "No space left on device")

        return call


async def test_a_supervisor_goes_on_telling_after_its_disk_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(supervisor, "RENEW_EVERY_S", 0.02)
    async with up(tmp_path, monkeypatch):
        for _ in range(2):
            disk.is_full = True
            await until(lambda: disk.met >= {"write", "bound", "renew_tokens"})
            (tmp_path / state.STATE_FILE).unlink()
            disk.is_full = False
            await until(lambda: phase(tmp_path) == "up")
            disk.met.clear()
    assert phase(tmp_path) == "down"


async def test_a_supervisor_whose_disk_is_full_ends_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with up(tmp_path, monkeypatch):
        running = state.read(tmp_path)
        assert running is not None
        disk.is_full = True
    assert "progress" in disk.met
    alive = [state.is_alive(each.pid or 0, each.started_at or 0) for each in running.processes]
    assert alive == [False, False]
