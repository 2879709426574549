"""The keys that sign tokens, and their public halves for whoever verifies them."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from waybill import secrets

SIGNING_KEY = "token-signing-key.pem"
PUBLIC_KEYS = "jwks.json"
KEY_NAME = "waybill-"


def ensure_token_key(home: Path) -> None:
    """Make an ES256 key and the JWKS with its public half, once."""
    if not (secrets.path_of(home, SIGNING_KEY).exists() and secrets.path_of(home, PUBLIC_KEYS).exists()):
        _make(home, number=1, kept=[])


def rotate_token_key(home: Path) -> tuple[str, str]:
    """Sign with a new key from now on; return its id and the id of the one before, which is trusted until the next.

    The public half is there before anything is signed. UsageError: there is no key yet.
    """
    current = json.loads(secrets.read(home, PUBLIC_KEYS))["keys"][0]
    number = int(current["kid"].removeprefix(KEY_NAME)) + 1
    return _make(home, number, kept=[current]), current["kid"]


def key_id(home: Path, key: ec.EllipticCurvePrivateKey) -> str:
    """Return under which id the public half of a key is published."""
    point = _public(key)
    published = json.loads(secrets.read(home, PUBLIC_KEYS))["keys"]
    return next(str(each["kid"]) for each in published if (each["x"], each["y"]) == (point["x"], point["y"]))


def _make(home: Path, number: int, kept: list[dict[str, Any]]) -> str:
    key, name = ec.generate_private_key(ec.SECP256R1()), f"{KEY_NAME}{number}"
    published = [_public(key) | {"kid": name, "alg": "ES256", "use": "sig"}, *kept]
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    secrets.write(secrets.path_of(home, PUBLIC_KEYS), json.dumps({"keys": published}))
    secrets.write(secrets.path_of(home, SIGNING_KEY), pem.decode())
    return name


def _public(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    return described
