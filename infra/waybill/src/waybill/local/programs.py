"""A program: a command that the supervisor runs, and the question that tells whether it is healthy."""

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Health = Callable[[], Awaitable[str | None]]
HTTP_OK = 200
SET_DEATH_SIGNAL = 1  # prctl(2): PR_SET_PDEATHSIG
FIRST, BEHIND = 0, 10  # niceness: whom customers wait for takes the CPU first, whatever goes on behind


@dataclass(frozen=True)
class Program:
    """What to run, as whom, how to see that it is healthy, how to end it, and who gets the CPU before it."""

    name: str
    command: list[str]
    health: Health
    port: int
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_deadline_s: float = 8.0
    niceness: int = BEHIND

    def enter(self) -> None:
        """Set the process up that becomes the program. Runs in the child; it takes no lock that a thread could hold."""
        die_with_parent()
        os.nice(self.niceness)


def die_with_parent() -> None:
    """Have the kernel kill this process when its supervisor dies, however that dies. Runs in the child.

    Nor does it leave a core file when it crashes: secrets would be in it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)


def run_to_end(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """Run what prepares a program, and return what it said; it does not outlive the supervisor either."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent,  # it takes no lock that another thread could hold
        **how,
    )


def listens(host: str, port: int) -> Health:
    """Return the question whether somebody accepts connections there."""

    async def ask() -> str | None:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
        except (OSError, TimeoutError):
            return f"nothing listens on {host}:{port} yet"
        writer.close()
        return None

    return ask


def answers(url: str) -> Health:
    """Return the question whether a URL answers 200; the answer's own `why` is passed on."""

    async def ask() -> str | None:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session,
                session.get(url) as answer,
            ):
                if answer.status == HTTP_OK:
                    return None
                found = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return f"{url} does not answer: {type(error).__name__}"
        return str(found.get("why") or found) if isinstance(found, dict) else f"{url} answers {answer.status}"

    return ask
