"""Keys of an OIDC issuer, or of any address with a JWKS: asked for behind the requests, and kept while it is away."""

import asyncio
import ssl
import time
from contextlib import suppress
from http import HTTPStatus

from aiohttp import ClientError, ClientSession, DummyCookieJar, TCPConnector
from pydantic import BaseModel

from chassis import problems
from chassis.addresses import Address, is_loopback
from chassis.keys import KeySet, KnownKeys
from chassis.rounds import Rounds
from exactly_once import Retryable
from exactly_once.errors import one_line

DISCOVERY = ".well-known/openid-configuration"
REFRESH_EVERY_S = 300.0
FLOOR_S = 5.0  # between two questions that requests cause: foreign keys' ids are free to whoever makes them up
KEPT_S = 24 * 3600.0  # that keys are trusted without an answer: who cuts us off keeps no key alive for longer
ANSWER_S = 3.0  # for all of an answer
MOST_BYTES = 256 << 10  # of a document
MOST_WAITING = 100  # requests for an answer: one more is refused at once


class Provider(BaseModel):
    """What we read of an issuer's description of itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    jwks_uri: Address

    def keys_address(self, asked: str) -> str:
        """Return where its keys are. ValueError: it is not the issuer that was asked, or sends us where none is."""
        if self.issuer != asked:
            raise ValueError(f"it says that it is {self.issuer!r}")
        if is_loopback(self.jwks_uri) and not is_loopback(asked):
            raise ValueError("it says that its keys are on our own machine")
        return self.jwks_uri


class IssuerKeys(Rounds):
    """The keys that an issuer publishes: asked for every five minutes, and when a token names one that is not known.

    Not ready until the first answer, which says why; from then on an issuer that is away stops nobody for a day.
    PyJWT's own client asks synchronously, without a bound on the answer, and again for each unknown key while the
    issuer does not answer.
    """

    def __init__(self, address: str, algorithm: str, *, discover: bool) -> None:
        """Prepare: `address` is the JWKS's, or with `discover` the issuer's, as tokens say it."""
        super().__init__("keys", REFRESH_EVERY_S)
        self._address, self._algorithm, self._discover = address, algorithm, discover
        self._document: KeySet | None = None
        self._keys: KnownKeys = {}
        self._trusted_until = self._asked_at = -KEPT_S
        self._one_asks = asyncio.Lock()
        self._waiting = 0

    def health(self) -> str | None:
        """Return why no token can be verified, None while keys are known."""
        return None if self._are_trusted() else f"no token can be verified: {self._why}"

    def current(self) -> KnownKeys:
        """Return the keys of the last answer. Problem 503: there was none yet, or none for a day."""
        if not self._are_trusted():
            raise problems.unavailable("the keys that verify tokens are not known at the moment")
        return self._keys

    async def look_again(self) -> None:
        """Ask the issuer, or wait for an answer under way, unless there was one a moment ago."""
        if self._waiting >= MOST_WAITING or self._has_just_asked():
            return
        self._waiting += 1
        try:
            async with self._one_asks:
                if not self._has_just_asked():
                    with suppress(Retryable):
                        await self._ask()
        finally:
            self._waiting -= 1

    async def _go_round(self) -> bool:
        async with self._one_asks:
            await self._ask()
        return False

    def _are_trusted(self) -> bool:
        return time.monotonic() < self._trusted_until

    def _has_just_asked(self) -> bool:
        return time.monotonic() < self._asked_at + FLOOR_S

    async def _ask(self) -> None:
        """Take the issuer's keys. Retryable says in one sentence what was wrong with its answer."""
        try:
            async with asyncio.timeout(ANSWER_S), _session() as session:
                document = await self._published(session)
            if document != self._document:
                self._keys = document.verifying(self._algorithm)
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            raise Retryable(f"{self._address} gives no keys: {one_line(error)}") from error
        finally:
            self._asked_at = time.monotonic()
        self._document, self._trusted_until = document, self._asked_at + KEPT_S

    async def _published(self, session: ClientSession) -> KeySet:
        address = self._address
        if self._discover:
            provider = Provider.model_validate_json(await _body(session, f"{address.rstrip('/')}/{DISCOVERY}"))
            address = provider.keys_address(address)
        return KeySet.model_validate_json(await _body(session, address))


def _session() -> ClientSession:
    """Return a session that trusts whom this system trusts, or SSL_CERT_FILE names."""
    return ClientSession(
        connector=TCPConnector(ssl=ssl.create_default_context()),
        cookie_jar=DummyCookieJar(),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        auto_decompress=False,  # what is sent is what is counted
    )


async def _body(session: ClientSession, address: str) -> bytes:
    """Return a document. ValueError: it is too large, or not there; ClientError: no answer."""
    async with session.get(address, allow_redirects=False) as answer:
        if answer.status != HTTPStatus.OK:
            raise ValueError(f"it answers with {answer.status}")
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > MOST_BYTES:
                raise ValueError(f"its answer has more than {MOST_BYTES} bytes")
        return bytes(body)
