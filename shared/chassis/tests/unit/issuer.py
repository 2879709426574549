"""An OIDC issuer on loopback: it publishes its keys, signs tokens, and misbehaves when it is asked to."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
AUDIENCE = "shop"


@dataclass
class Issuer:
    """`published` are the ids of the keys that it shows, of the `keys` that it signs with."""

    algorithm: str = "ES256"
    keys: dict[str, Key] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    asked: int = 0  # for its keys
    address: str = ""
    calls_itself: str | None = None
    keys_at: str | None = None
    answer: Answer | None = None
    free: asyncio.Event = field(default_factory=asyncio.Event)  # no answer before

    def __post_init__(self) -> None:
        self.free.set()
        self.add_key("first")

    def add_key(self, key_id: str) -> None:
        """Make a key and publish it."""
        self.keys[key_id] = ec.generate_private_key(ec.SECP256R1()) if self.algorithm == "ES256" else rsa_key(2048)
        self.published.append(key_id)

    def sign(self, key_id: str = "first", *, as_key: str | None = None, **claims: Any) -> str:
        """Return anna's token for the shop, signed with a key; `as_key` is the id that it names instead."""
        now = int(time.time())
        usual = {"iss": self.address, "aud": AUDIENCE, "sub": "anna", "scope": "orders", "iat": now, "exp": now + 60}
        return jwt.encode(usual | claims, self.keys[key_id], self.algorithm, {"kid": as_key or key_id})

    def jwks(self) -> dict[str, Any]:
        """Return what it publishes."""
        return {"keys": [public(self.keys[each]) | {"kid": each, "use": "sig"} for each in self.published]}

    async def describe(self, request: web.Request) -> web.Response:
        """Answer discovery."""
        told = self.address if self.calls_itself is None else self.calls_itself
        return web.json_response({"issuer": told, "jwks_uri": self.keys_at or f"{self.address}/keys"})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with the keys, or as it was told to."""
        self.asked += 1
        await self.free.wait()
        return await self.answer(request) if self.answer else web.json_response(self.jwks())


def public(key: Key) -> dict[str, Any]:
    """Return a key's public half as a JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        return dict(json.loads(RSAAlgorithm.to_jwk(key.public_key())))
    return dict(json.loads(ECAlgorithm.to_jwk(key.public_key())))


def with_secret(claims: dict[str, Any], key: Key, key_id: str) -> str:
    """Return a token signed by HS256 with a public key as the secret, which everybody has."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    secret = key.public_key().public_bytes(serialization.Encoding.PEM, spki)
    parts = ({"alg": "HS256", "typ": "JWT", "kid": key_id}, claims)
    signed = b".".join(base64url_encode(json.dumps(each).encode()) for each in parts)
    return b".".join((signed, base64url_encode(hmac.digest(secret, signed, "sha256")))).decode()


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


@asynccontextmanager
async def serving(issuer: Issuer, port: int | None = None, tls: SSLContext | None = None) -> AsyncIterator[Issuer]:
    """Serve an issuer; it is away behind the block."""
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.describe)
    app.router.add_get("/keys", issuer.show)
    server = TestServer(app, port=port)
    await server.start_server(ssl=tls)
    try:
        issuer.address = str(server.make_url("")).rstrip("/")
        yield issuer
    finally:
        await server.close()
