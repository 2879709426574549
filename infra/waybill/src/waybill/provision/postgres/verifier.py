"""SCRAM-SHA-256 verifiers, made and tested here so that no password travels in a statement (RFC 5803)."""

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode

ITERATIONS = 4096
SALT_BYTES = 16
VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return what PostgreSQL stores for an ASCII password."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def verifies(stored: str | None, password: str) -> bool:
    """Tell whether what PostgreSQL stores is for this password."""
    parsed = VERIFIER.fullmatch(stored or "")
    if parsed is None or stored is None:
        return False
    return hmac.compare_digest(stored, verifier(password, b64decode(parsed[2]), int(parsed[1])))


def _text(value: bytes) -> str:
    return b64encode(value).decode()
