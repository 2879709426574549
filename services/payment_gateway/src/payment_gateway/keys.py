"""API keys: who may ask the gateway for what."""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

OPERATOR = "operator"


class ApiKeys:
    """The keys' holders. Only digests stay in memory."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        if not keys or not all(keys.values()):
            raise ValueError("every holder of an API key needs one, and there must be a holder")
        self._digests = {holder: _digest(key) for holder, key in keys.items()}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a JSON object of holders and their keys."""
        return cls(TypeAdapter(dict[str, str]).validate_json(path.read_bytes()))

    def holder(self, presented: str) -> str | None:
        """Return whose key this is; the time it takes says nothing about the keys."""
        digest = _digest(presented)
        matches = [holder for holder, known in self._digests.items() if compare_digest(digest, known)]
        return matches[0] if matches else None


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
