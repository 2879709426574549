"""Signs tokens with the stack's own key."""

import time
from dataclasses import dataclass
from functools import cached_property

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from waybill.local.keys import SIGNING_KEY, key_id
from waybill.stack import Stack

ISSUER = AUDIENCE = "waybill"
ALGORITHM = "ES256"
CUSTOMER_SCOPE = "orders"
OPERATOR_SCOPE = "ops:read ops:write"
DAY_S = 24 * 3600


@dataclass(frozen=True)
class Signer:
    """Makes tokens that the services of a stack accept."""

    stack: Stack

    @cached_property
    def _key(self) -> EllipticCurvePrivateKey:
        key = load_pem_private_key(self.stack.secret(SIGNING_KEY).encode(), password=None)
        assert isinstance(key, EllipticCurvePrivateKey)  # noqa: S101  # made by `ensure_token_key`
        return key

    def customer(self, customer_id: str, ttl_s: int = DAY_S) -> str:
        """Return a token with which a customer orders."""
        return self._sign(customer_id, CUSTOMER_SCOPE, ttl_s)

    def operator(self, ttl_s: int = DAY_S) -> str:
        """Return a token with which an operator reads and writes."""
        return self._sign("operator", OPERATOR_SCOPE, ttl_s)

    def _sign(self, subject: str, scope: str, ttl_s: int) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scope, "iat": now, "exp": now + ttl_s}
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": key_id(self.stack.home, self._key)})
