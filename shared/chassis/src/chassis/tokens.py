"""Who asks: a JSON web token, signed with ES256 by a key that the service knows only the public half of."""

import time
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import jwt
import structlog
from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from chassis.problems import Problem
from chassis.settings import ServiceSettings

ALGORITHM = "ES256"
LOOK_EVERY_S = 5.0
LOOK_AGAIN_S = 0.5  # whoever sends foreign tokens causes no more reading than that
MOST_REMEMBERED = 20_000
LONGEST_SUBJECT = 100  # as long as a customer's id may be in an event
log = structlog.get_logger(__name__)

ORDERS, OPS_READ, OPS_WRITE = "orders", "ops:read", "ops:write"


class Identity(NamedTuple):
    """A verified token: whose it is, what it allows, until when (seconds since the epoch)."""

    subject: str
    scopes: frozenset[str]
    expires: float


class Tokens:
    """Verifies tokens against a JWKS; a token that was verified is remembered, by its digest, until it expires.

    The file of keys is looked at every few seconds, and at once for a key that nobody knows yet: keys are changed
    without a restart, and one that was taken out is not trusted any more.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._known: dict[bytes, Identity] = {}
        self._keys: dict[str | None, Any] = {}
        self._written_at = self._looked_at = 0.0

    def _look(self, patience_s: float) -> None:
        """Read the keys again if the file has changed, and was not looked at within `patience_s`."""
        now = time.monotonic()
        if self._keys and now < self._looked_at + patience_s:
            return
        self._looked_at = now
        try:
            written_at = self._settings.jwks_file.stat().st_mtime
            if written_at == self._written_at:
                return
            keys = jwt.PyJWKSet.from_json(self._settings.jwks_file.read_text()).keys
        except (OSError, ValueError, jwt.PyJWTError) as error:
            log.warning("tokens.keys_unreadable", error=repr(error))  # those that are known go on being trusted
            return
        self._keys, self._written_at = {key.key_id: key.key for key in keys}, written_at
        self._known.clear()

    def verify(self, token: str) -> Identity:
        """Return whose token this is. Problem 401: it is malformed, foreign or expired."""
        self._look(LOOK_EVERY_S)
        digest = sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._verify(token)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = known
        if known.expires <= time.time():
            raise _unauthorized("the token has expired")
        return known

    def _verify(self, token: str) -> Identity:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            if key_id not in self._keys:
                self._look(LOOK_AGAIN_S)
            key = self._keys.get(key_id)
            if key is None:
                raise _unauthorized("the token is signed with a key that nobody here knows")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._settings.token_audience,
                issuer=self._settings.token_issuer,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.InvalidTokenError as error:
            raise _unauthorized(f"the token is not valid: {error}") from error
        subject = str(claims["sub"])
        if not (0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()):
            raise _unauthorized("the token names nobody whom we could serve")
        return Identity(subject, frozenset(str(claims.get("scope", "")).split()), float(claims["exp"]))


def _unauthorized(detail: str) -> Problem:
    headers = {"WWW-Authenticate": 'Bearer realm="waybill"'}
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers=headers)


Presented = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]


async def identity(request: Request, needed: SecurityScopes, presented: Presented) -> Identity:
    """Return who asks. Problem 401 without a valid token, 403 without one of the scopes that the route names."""
    if presented is None:
        raise _unauthorized("a bearer token is needed: `waybill token` makes one")
    tokens: Tokens = request.app.state.tokens
    found = tokens.verify(presented.credentials)
    if needed.scopes and not found.scopes & set(needed.scopes):
        detail = f"the token lacks the scope {' or '.join(needed.scopes)}"
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)
    return found


Customer = Annotated[Identity, Security(identity, scopes=[ORDERS])]
CustomerOrOperator = Annotated[Identity, Security(identity, scopes=[ORDERS, OPS_READ])]
OperatorReads = Annotated[Identity, Security(identity, scopes=[OPS_READ])]
OperatorWrites = Annotated[Identity, Security(identity, scopes=[OPS_WRITE])]

__all__ = ["Customer", "CustomerOrOperator", "Identity", "OperatorReads", "OperatorWrites", "Tokens"]
