"""A stack's own issuer of tokens for Kafka.

Its keys are its own, and so is the audience: no token for the HTTP interface, whoever it names, is one for the brokers.
"""

import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from waybill import secrets
from waybill.local.keys import PUBLIC_KEYS, SIGNING_KEY, ensure_token_key, key_id

ISSUER, AUDIENCE = "waybill-issuer", "waybill-kafka"
ALGORITHM = "ES256"
DAY_S = 24 * 3600


def ensure_issuer(home: Path) -> None:
    """Make the issuer's keys, once."""
    ensure_token_key(_folder(home))


def public_keys(home: Path) -> Path:
    """Return the file of keys (JWKS) that the brokers trust."""
    return secrets.path_of(_folder(home), PUBLIC_KEYS)


def issued(home: Path, user: str, ttl_s: int = DAY_S) -> str:
    """Return a token that makes its bearer a Kafka user for `ttl_s` seconds. UsageError: there is no issuer yet."""
    key = load_pem_private_key(secrets.read(_folder(home), SIGNING_KEY).encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)  # noqa: S101  # made by `ensure_token_key`
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + ttl_s}
    return jwt.encode(claims, key, ALGORITHM, headers={"kid": key_id(_folder(home), key)})


def _folder(home: Path) -> Path:
    return home / "issuer"
