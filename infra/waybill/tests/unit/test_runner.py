"""What a program that ends says of itself is what its runner says of it; and no trouble of ours ends the keeping."""

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

from waybill.errors import UsageError
from waybill.local import logfile
from waybill.local.programs import BEHIND, Health, Program
from waybill.local.runner import Runner
from waybill.local.state import stopped_marker

DEADLINE_S = 60.0
SLEEPS = "import time; time.sleep(600)"
REFUSED = """
import datetime as dt, json, sys
now = dt.datetime.now(dt.UTC).isoformat()
print(json.dumps({"event": "start.refused", "level": "error", "timestamp": now, "why": "it may not write orders"}))
sys.exit(3)
"""


async def not_yet() -> str | None:
    return "it does not answer"


async def well() -> str | None:
    return None


@asynccontextmanager
async def kept(code: str, home: Path, health: Health = well) -> AsyncIterator[Runner]:
    """Keep a program of Python running."""
    for folder in ("logs", "stopped"):
        (home / folder).mkdir()
    runner = Runner(Program("inventory-1", [sys.executable, "-c", code], health, 1), home)
    keeping = asyncio.create_task(runner.keep())
    try:
        yield runner
    finally:
        await runner.end()
        await keeping


async def until(runner: Runner, ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not ask():
        assert time.monotonic() < deadline, runner.state()
        await asyncio.sleep(0.02)


async def told_of(code: str, home: Path) -> str | None:
    """Run a program of Python until it has ended; return why it does not run."""
    async with kept(code, home, not_yet) as runner:
        await until(runner, lambda: runner.state().state == "restarting")
        return runner.state().why


def failing_once(error: Exception, then: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that raises the first time, and is `then` from then on."""
    errors = [error]

    def call(*arguments: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return then(*arguments, **named)

    return call


async def test_a_program_that_says_why_it_ends_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "inventory-1.log"
    assert await told_of(REFUSED, tmp_path) == f"it ended with 3: it may not write orders; see {log}"


async def test_a_program_comes_behind_in_the_session_of_its_supervisor_whom_its_terminal_does_not_end(
    tmp_path: Path,
) -> None:
    code = "import os, sys; print(os.nice(0), os.getsid(0), os.getpgrp() == os.getpid()); sys.exit(1)"
    await told_of(code, tmp_path)
    said = (tmp_path / "logs" / "inventory-1.log").read_text(encoding="utf-8")
    assert said.splitlines()[0] == f"{min(os.nice(0) + BEHIND, 19)} {os.getsid(0)} True"


async def test_of_a_program_that_ends_without_a_word_the_log_is_named(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "inventory-1.log"
    assert await told_of("raise SystemExit(1)", tmp_path) == f"it ended with 1; see {log}"


async def test_a_program_whose_log_was_deleted_is_started_again_when_it_dies(tmp_path: Path) -> None:
    async with kept(SLEEPS, tmp_path) as runner:
        await until(runner, lambda: runner.healthy)
        first = runner.state().pid
        assert first is not None
        (tmp_path / "logs" / "inventory-1.log").unlink()
        os.kill(first, signal.SIGKILL)
        await until(runner, lambda: runner.state().pid not in {first, None} and runner.healthy)


@pytest.mark.parametrize(
    "error", [OSError(errno.EAGAIN, "Resource temporarily unavailable"), RuntimeError("can't start new thread")]
)
async def test_a_program_that_can_not_be_started_says_why_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(asyncio, "create_subprocess_exec", failing_once(error, then=asyncio.create_subprocess_exec))
    async with kept(SLEEPS, tmp_path) as runner:
        await until(runner, lambda: runner.state().state == "restarting")
        assert (runner.state().why, runner.deaths) == (f"it can't be started: {error}", 1)
        await until(runner, lambda: runner.healthy)


async def test_a_program_whose_log_can_not_be_bounded_is_stopped_by_name_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(logfile, "bound", failing_once(full, then=logfile.bound))
    async with kept(SLEEPS, tmp_path) as runner:
        await until(runner, lambda: runner.healthy)
        stopped_marker(tmp_path, "inventory-1").touch()
        await until(runner, lambda: runner.state().state == "stopped")
    assert capsys.readouterr().err == f"{tmp_path}/logs/inventory-1.log can't be bounded: No space left on device\n"


async def test_a_question_that_fails_is_the_answer_until_it_is_asked_again(tmp_path: Path) -> None:
    health = failing_once(UsageError("there is no secret postgres-operator"), then=well)
    async with kept(SLEEPS, tmp_path, health) as runner:
        await until(runner, lambda: runner.state().why == "UsageError: there is no secret postgres-operator")
        await until(runner, lambda: runner.healthy)
