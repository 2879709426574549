"""A program: a command that the supervisor runs, and the question that tells whether it is healthy."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

Health = Callable[[], Awaitable[str | None]]
HTTP_OK = 200


@dataclass(frozen=True)
class Program:
    """What to run, as whom, how to see that it is healthy, and how to end it."""

    name: str
    command: list[str]
    health: Health
    port: int
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_deadline_s: float = 8.0


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
