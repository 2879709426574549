"""Secrets of a stack: files in WAYBILL_HOME/secrets, made at first need, readable by their owner alone."""

import os
import secrets
from pathlib import Path

from waybill.errors import UsageError

OWNER_ONLY = 0o600
OWNER_ONLY_FOLDER = 0o700


def path_of(home: Path, name: str) -> Path:
    """Return where a secret lies."""
    return home / "secrets" / name


def ensure(home: Path, name: str) -> str:
    """Return a secret, made at random if it is not there yet."""
    path = path_of(home, name)
    if not path.exists():
        write(path, made_up())
    return path.read_text()


def made_up() -> str:
    """Return a new secret, at random."""
    return secrets.token_urlsafe(32)


def read(home: Path, name: str) -> str:
    """Return a secret. UsageError: there is none of this name."""
    path = path_of(home, name)
    if not path.exists():
        raise UsageError(f"there is no secret {name} in {path.parent}: run `waybill up` or `waybill provision` first")
    return path.read_text()


def write(path: Path, text: str) -> None:
    """Write a file that nobody but its owner can ever read; it appears whole or not at all."""
    path.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # of a namesake that died, or planted where others can write
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(draft, flags, OWNER_ONLY), "w") as file:
        file.write(text)
    draft.rename(path)
