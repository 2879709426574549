"""How we prove to the brokers who we are: the one place that makes aiokafka's security arguments.

Every file is read anew for each connection: a password, a certificate, a token or an authority is changed without a
restart, and connections that stand stay as they are.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

import structlog
from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import SaslAuthenticationFailed

Auth = Literal["scram", "mtls", "oauthbearer"]
T = TypeVar("T")

log = structlog.get_logger(__name__)


def security(auth: Auth, user: str, credential: Path, ca_file: Path) -> dict[str, Any]:
    """Return how aiokafka proves that it is `user`, over TLS 1.3. OSError: a file can't be read.

    `credential` is a file with a password (scram), with a key and its certificate in PEM (mtls), or with a token that
    somebody keeps fresh (oauthbearer).
    """
    if auth == "mtls":
        return {"security_protocol": "SSL", "ssl_context": _Tls(ca_file, credential)}
    tls = {"security_protocol": "SASL_SSL", "ssl_context": _Tls(ca_file)}
    if auth == "oauthbearer":
        return tls | {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": _Token(credential)}
    scram = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": user}
    return tls | scram | {"sasl_plain_password": _Password(credential)}


class _Latest(Generic[T]):
    """What a file says now; while it can't be read, what it said last."""

    def __init__(self, file: Path, load: Callable[[Path], T]) -> None:
        self._file, self._load = file, load
        self._last = load(file)

    def __call__(self) -> T:
        try:
            self._last = self._load(self._file)
        except OSError as error:
            log.warning("kafka.credential_unreadable", file=str(self._file), error=repr(error))
        return self._last


class _Password:
    """Stands where aiokafka takes a string: all that it asks for, at each connection, are the bytes."""

    def __init__(self, file: Path) -> None:
        self._latest = _Latest(file, _text)

    def encode(self, encoding: str) -> bytes:
        return self._latest().encode(encoding)


class _Token(AbstractTokenProvider):
    def __init__(self, file: Path) -> None:
        self._latest = _Latest(file, _text)

    async def token(self) -> str:
        return self._latest()


class _HeardOAuth(conn.OAuthAuthenticator):
    """Hears a refusal, which aiokafka does not: it comes as an answer that is not empty (RFC 7628, 3.2.2).

    Unheard, the connection counts as good, and the next request on it ends in an AssertionError.
    """

    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise SaslAuthenticationFailed(payload.decode(errors="replace"))
        return await super().step(payload)


conn.OAuthAuthenticator = _HeardOAuth


class _Tls(ssl.SSLContext):
    """Shakes hands with the authority and the certificate that the files hold at that moment."""

    def __new__(cls, *_: Path) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, ca_file: Path, certificate: Path | None = None) -> None:
        self._latest = _Latest(ca_file, lambda trusted: _context(trusted, certificate))

    def wrap_bio(self, *buffers: Any, **names: Any) -> ssl.SSLObject:
        return self._latest().wrap_bio(*buffers, **names)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except UnicodeDecodeError:
        raise OSError(f"{file} holds no text") from None  # the cause would show what it holds


def _context(ca_file: Path, certificate: Path | None) -> ssl.SSLContext:
    with _named(ca_file):
        context = ssl.create_default_context(cafile=str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if certificate is not None:
        with _named(certificate):
            context.load_cert_chain(certificate)
    return context


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Say which file it is: OpenSSL does not."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{file} can't be loaded: {error}") from error
