"""Whose signatures count: the public keys of whoever signs tokens, from a file that is looked at now and then."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import jwt
import structlog
from pydantic import BaseModel

from chassis import problems
from exactly_once.errors import one_line

LOOK_EVERY_S = 5.0
LOOK_AGAIN_S = 0.5  # whoever sends foreign tokens causes no more reading than that

log = structlog.get_logger(__name__)

KnownKeys = Mapping[str | None, jwt.PyJWK]  # by their ids


class Keys(Protocol):
    """A source of keys, which may change while tokens are verified."""

    def current(self) -> KnownKeys:
        """Return the keys to trust now: the same object as long as they are the same.

        Problem 503: they are not known yet, or have been known for too long.
        """
        ...

    async def look_again(self) -> None:
        """Look for a key that nobody knows yet, unless somebody looked a moment ago; in bounded time."""
        ...


class KeySet(BaseModel):
    """A JWKS (RFC 7517)."""

    keys: list[dict[str, Any]]

    def verifying(self, algorithm: str) -> KnownKeys:
        """Return the keys that verify this algorithm's signatures, each bound to it. ValueError: there is none.

        A provider's set may hold others, for encryption or another algorithm: no token is verified with these.
        """
        found: dict[str | None, jwt.PyJWK] = {}
        for each in self.keys:
            if each.get("use", "sig") == "sig" and each.get("alg", algorithm) == algorithm:
                with suppress(jwt.PyJWTError, TypeError, ValueError):
                    key = jwt.PyJWK(each, algorithm)
                    if key.Algorithm.check_key_length(key.Algorithm.prepare_key(key.key)) is None:
                        found[key.key_id] = key
        if not found:
            raise ValueError(f"no key in it verifies signatures by {algorithm}")
        return found


class FileKeys:
    """Keys in a file, changed without a restart; one that was taken out is not trusted any more."""

    def __init__(self, file: Path, algorithm: str) -> None:
        self._file, self._algorithm = file, algorithm
        self._keys: KnownKeys = {}
        self._written_at = self._looked_at = 0.0

    def current(self) -> KnownKeys:
        """Return the keys as the file had them some seconds ago at most; while it can't be read, as it had them."""
        self._look(LOOK_EVERY_S)
        if not self._keys:
            raise problems.unavailable("the keys that verify tokens can't be read")
        return self._keys

    async def look_again(self) -> None:
        """Read the file if it has changed."""
        self._look(LOOK_AGAIN_S)

    def _look(self, patience_s: float) -> None:
        now = time.monotonic()
        if self._keys and now < self._looked_at + patience_s:
            return
        self._looked_at = now
        try:
            written_at = self._file.stat().st_mtime
            if written_at == self._written_at:
                return
            self._keys = KeySet.model_validate_json(self._file.read_bytes()).verifying(self._algorithm)
        except (OSError, ValueError) as error:
            log.warning("tokens.keys_unreadable", error=one_line(error))  # those that are known go on being trusted
            return
        self._written_at = written_at
