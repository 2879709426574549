"""What a program that ends says of itself is what its runner says of it."""

import asyncio
import os
import sys
import time
from pathlib import Path

from waybill.local.programs import BEHIND, Program
from waybill.local.runner import Runner

DEADLINE_S = 60.0
REFUSED = """
import datetime as dt, json, sys
now = dt.datetime.now(dt.UTC).isoformat()
print(json.dumps({"event": "start.refused", "level": "error", "timestamp": now, "why": "it may not write orders"}))
sys.exit(3)
"""


async def not_yet() -> str | None:
    return "it does not answer"


async def told_of(code: str, home: Path) -> str | None:
    """Run a program of Python until it has ended; return why it does not run."""
    (home / "logs").mkdir()
    runner = Runner(Program("inventory-1", [sys.executable, "-c", code], not_yet, 1), home)
    keeping, deadline = asyncio.create_task(runner.keep()), time.monotonic() + DEADLINE_S
    try:
        while runner.state().state != "restarting":
            assert time.monotonic() < deadline, runner.state()
            await asyncio.sleep(0.02)
        return runner.state().why
    finally:
        await runner.end()
        await keeping


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
