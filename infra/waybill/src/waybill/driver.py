"""Drives the `waybill` command as a script does: its exit code, its JSON, its errors."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

COMMAND_DEADLINE_S = 400


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The JSON object that it printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Waybill:
    """The command, in a home of its own."""

    def __init__(self, home: Path, base_port: int, **environment: str) -> None:
        self.home = home
        self.base_port = base_port
        self.environment = os.environ | {
            "WAYBILL_HOME": str(home),
            "WAYBILL_BASE_PORT": str(base_port),
            "WAYBILL_NAMESPACE": "",
            **environment,
        }
        self.executable = Path(sys.executable).with_name("waybill")

    def __call__(self, *words: str) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            [self.executable, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command, and return while it runs."""
        return subprocess.Popen(
            [self.executable, *words], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @contextmanager
    def started(self, *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command, and wait until a line that it tells begins with `until`; it is killed with the block."""
        command = self.start(*words)
        try:
            if command.stderr is None or not any(line.startswith(until) for line in command.stderr):
                raise RuntimeError(f"waybill {' '.join(words)} ended before it told {until!r}")
            yield command
        finally:
            command.kill()
            command.communicate()

    def pid_of(self, name: str) -> int:
        """Return the process of a part of the stack: `inventory-1`, `kafka-2`."""
        return int(next(each["pid"] for each in self("status", "--json").data["processes"] if each["name"] == name))
