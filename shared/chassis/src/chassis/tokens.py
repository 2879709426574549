"""Who asks: a JSON web token, signed by a key that the service knows only the public half of."""

import time
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, NamedTuple

import jwt
from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from chassis.issuer import IssuerKeys
from chassis.keys import FileKeys, Keys, KnownKeys
from chassis.problems import Problem
from chassis.settings import ServiceSettings

MOST_REMEMBERED = 20_000
LONGEST_SUBJECT = 100  # as long as a customer's id may be in an event
CLOCKS_DIFFER_S = 5.0  # an issuer's "now" may be a moment ahead of ours; an expired token is expired all the same

ORDERS, OPS_READ, OPS_WRITE = "orders", "ops:read", "ops:write"


class Identity(NamedTuple):
    """A verified token: whose it is, what it allows, until when (seconds since the epoch)."""

    subject: str
    scopes: frozenset[str]
    expires: float


class Tokens:
    """Verifies tokens; one that was verified is remembered, by its digest, until it expires or the keys change."""

    def __init__(self, settings: ServiceSettings, keys: Keys) -> None:
        self._settings, self._keys = settings, keys
        self._known: dict[bytes, Identity] = {}
        self._known_by: KnownKeys | None = None

    async def verify(self, token: str) -> Identity:
        """Return whose token this is. Problem 401: it is malformed, foreign or expired; 503: no key is known."""
        keys = self._keys.current()
        if keys is not self._known_by:
            self._known, self._known_by = {}, keys
        digest = sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            known = await self._verify(token)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = known
        if known.expires <= time.time():
            raise _unauthorized("the token has expired")
        return known

    async def _verify(self, token: str) -> Identity:
        try:
            key = await self._key_of(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=[self._settings.token_algorithm],
                audience=self._settings.token_audience,
                issuer=self._settings.token_issuer,
                leeway=CLOCKS_DIFFER_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise _unauthorized(f"the token is not valid: {error}") from error
        subject = str(claims["sub"])
        if not (0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()):
            raise _unauthorized("the token names nobody whom we could serve")
        return Identity(subject, frozenset(str(claims.get("scope", "")).split()), float(claims["exp"]))

    async def _key_of(self, token: str) -> jwt.PyJWK:
        key_id = jwt.get_unverified_header(token).get("kid")
        if key_id not in self._keys.current():
            await self._keys.look_again()
        key = self._keys.current().get(key_id)
        if key is None:
            raise _unauthorized("the token is signed with a key that nobody here knows")
        return key


def keys_of(settings: ServiceSettings) -> FileKeys | IssuerKeys:
    """Return where the keys come from, as the settings say."""
    if settings.jwks_from == "file":
        return FileKeys(settings.jwks_file, settings.token_algorithm)
    discover = settings.jwks_from == "discovery"
    return IssuerKeys(settings.keys_address, settings.token_algorithm, discover=discover)


def _unauthorized(detail: str) -> Problem:
    headers = {"WWW-Authenticate": 'Bearer realm="waybill"'}
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers=headers)


class Bearer(HTTPBearer):
    """Who asks, by the bearer token of a request: one dependency, since each costs a request some 30 µs."""

    def __init__(self) -> None:
        super().__init__(scheme_name="HTTPBearer", auto_error=False)

    async def __call__(self, request: Request, needed: SecurityScopes) -> Identity:  # type: ignore[override]  # more
        """Return who asks. Problem 401 without a valid token, 403 without one of the scopes that the route names."""
        presented = await super().__call__(request)
        if presented is None:
            raise _unauthorized("a bearer token is needed: `waybill token` makes one")
        tokens: Tokens = request.app.state.tokens
        found = await tokens.verify(presented.credentials)
        if needed.scopes and not found.scopes & set(needed.scopes):
            detail = f"the token lacks the scope {' or '.join(needed.scopes)}"
            raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)
        return found


identity = Bearer()
Customer = Annotated[Identity, Security(identity, scopes=[ORDERS])]
CustomerOrOperator = Annotated[Identity, Security(identity, scopes=[ORDERS, OPS_READ])]
OperatorReads = Annotated[Identity, Security(identity, scopes=[OPS_READ])]
OperatorWrites = Annotated[Identity, Security(identity, scopes=[OPS_WRITE])]

__all__ = [
    "ORDERS",
    "Bearer",
    "Customer",
    "CustomerOrOperator",
    "Identity",
    "OperatorReads",
    "OperatorWrites",
    "Tokens",
    "keys_of",
]
