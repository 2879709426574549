"""The conversation with Docker, through its own command: what runs in a project, and what is done to it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from waybill.errors import UsageError

ANSWER_S = 30.0
COMPOSE_FILE = "docker-compose.yml"


class Docker:
    """Docker and its compose plugin, in the folder of a compose file. UsageError: there is no Docker, or no answer."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def compose(self, *words: str, deadline_s: float | None = ANSWER_S) -> str:
        """Run `docker compose` to its end and return what it printed. UsageError: what it said."""
        return self.run("compose", *words, deadline_s=deadline_s)

    def run(self, *words: str, deadline_s: float | None = ANSWER_S) -> str:
        """Run `docker` to its end and return what it printed. UsageError: what it said."""
        try:
            done = subprocess.run(
                [self._executable(), *words],
                cwd=self.project, capture_output=True, text=True, timeout=deadline_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UsageError(f"docker {words[0]} does not answer: is the engine well?") from error
        if done.returncode:
            raise UsageError(_sentence(words[0], done.stderr))
        return done.stdout

    def open(self, *words: str, quiet: bool = False) -> subprocess.Popen[str]:
        """Start `docker compose`; its output is read, unless `quiet`, and what it tells a person goes through."""
        out = subprocess.DEVNULL if quiet else subprocess.PIPE
        return subprocess.Popen([self._executable(), "compose", *words], cwd=self.project, stdout=out, text=True)

    def services(self) -> dict[str, Any]:
        """Return the services of the compose file, its variables replaced, those of every profile too."""
        found: dict[str, Any] = json.loads(self.compose("--profile", "*", "config", "--format", "json"))
        services: dict[str, Any] = found["services"]
        return services

    def containers(self) -> list[dict[str, Any]]:
        """Return what `docker inspect` says of each container of the project, one-off ones left out."""
        ids = self.compose("--profile", "*", "ps", "--all", "--quiet").split()
        found: list[dict[str, Any]] = json.loads(self.run("inspect", *ids)) if ids else []
        return found

    def volumes(self) -> set[str]:
        """Return the project's volumes under the names of the compose file."""
        config = json.loads(self.compose("config", "--format", "json"))
        names = {about["name"]: name for name, about in config["volumes"].items()}
        return {names[each] for each in self.run("volume", "ls", "--quiet").split() if each in names}

    def _executable(self) -> str:
        found = shutil.which("docker")
        if found is None:
            raise UsageError("there is no `docker` on the PATH: install it, or use the local stack, which needs none")
        return found


def project_folder() -> Path:
    """Return the nearest folder, from the current one upwards, with the compose file. UsageError: there is none."""
    current = Path.cwd()
    for folder in (current, *current.parents):
        if (folder / COMPOSE_FILE).exists():
            return folder
    raise UsageError(f"there is no {COMPOSE_FILE} here or above: run this in the project's folder")


def environment_file(project: Path) -> Path | None:
    """Return the project's `.env`, which Docker reads too."""
    file = project / os.environ.get("COMPOSE_ENV_FILES", ".env")
    return file if file.exists() else None


def _sentence(command: str, said: str) -> str:
    if command == "compose" and "Run 'docker --help'" in said:  # Docker itself took the words for its own
        return "Docker has no compose plugin: install it (docs.docker.com/compose/install)"
    lines = [line for line in said.strip().splitlines() if line.strip()]
    return f"docker {command}: {lines[-1].strip() if lines else 'it ended without a word'}"
