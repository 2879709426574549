"""The key that signs tokens, and its public half for whoever verifies them."""

import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from waybill import secrets

SIGNING_KEY = "token-signing-key.pem"
KEY_ID = "waybill-1"


def ensure_token_key(home: Path) -> None:
    """Make an ES256 key and the JWKS with its public half, once."""
    private, public = secrets.path_of(home, SIGNING_KEY), secrets.path_of(home, "jwks.json")
    if private.exists() and public.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    secrets.write(private, pem.decode())
    described = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    secrets.write(public, json.dumps({"keys": [described | {"kid": KEY_ID, "alg": "ES256", "use": "sig"}]}))
