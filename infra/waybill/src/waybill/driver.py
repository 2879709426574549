"""Drives the `waybill` command as a script does: its exit code, its JSON, its errors."""

import json
import os
import subprocess
import sys
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
