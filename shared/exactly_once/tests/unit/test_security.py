"""What proves who we are is read anew for each connection; what can't be read leaves what was known."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka import conn
from aiokafka.errors import SaslAuthenticationFailed
from cryptography import x509

from exactly_once import Auth
from exactly_once.kafka.security import security
from waybill.local.certificates import (
    authority_file,
    broker_file,
    ensure_certificates,
    issue_to_broker,
    issue_to_user,
    user_file,
)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """A file with a password, beside an authority with a broker's and checkout's certificates."""
    ensure_certificates(tmp_path, 1)
    issue_to_user(tmp_path, "checkout")
    file = tmp_path / "password"
    file.write_text("first\n")
    return file


@pytest.fixture
def home(password: Path) -> Path:
    return password.parent


def serial(certificate: bytes | None) -> int:
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).serial_number


def serial_in(file: Path) -> int:
    return x509.load_pem_x509_certificates(file.read_bytes())[0].serial_number


def broker(home: Path) -> ssl.SSLContext:
    """A broker that looks at the certificate of whoever connects, if they have one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority_file(home)))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(broker_file(home, 1))
    return context


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Shake hands in memory; return both ends. SSLError: one of them does not trust the other."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(down, up, server_hostname="localhost"), server.wrap_bio(up, down, server_side=True)
    for end in (ends[0], ends[1], ends[0], ends[1]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ends


def tls_of(arguments: dict[str, Any]) -> ssl.SSLContext:
    context = arguments["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    return context


def test_a_password_is_read_anew_for_each_connection(password: Path, home: Path) -> None:
    given = security("scram", "checkout", password, authority_file(home))
    assert (given["security_protocol"], given["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert given["sasl_plain_username"] == "checkout"
    assert given["sasl_plain_password"].encode("utf-8") == b"first"
    password.write_text("second")
    assert given["sasl_plain_password"].encode("utf-8") == b"second"


def test_a_token_is_read_anew_for_each_connection(password: Path, home: Path) -> None:
    given = security("oauthbearer", "checkout", password, authority_file(home))
    assert (given["security_protocol"], given["sasl_mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    assert asyncio.run(given["sasl_oauth_token_provider"].token()) == "first"
    password.write_text("second")
    assert asyncio.run(given["sasl_oauth_token_provider"].token()) == "second"


def test_a_refusal_of_a_token_is_heard(password: Path, home: Path) -> None:
    given = security("oauthbearer", "checkout", password, authority_file(home))
    for answer, refusal in ((b"", None), (b'{"status":"invalid_token"}', "invalid_token")):
        authenticator = conn.OAuthAuthenticator(sasl_oauth_token_provider=given["sasl_oauth_token_provider"])
        assert asyncio.run(authenticator.step(None)) == (b"n,,\x01auth=Bearer first\x01\x01", True)
        if refusal is None:
            assert asyncio.run(authenticator.step(answer)) is None
        else:
            with pytest.raises(SaslAuthenticationFailed, match=refusal):
                asyncio.run(authenticator.step(answer))


def test_a_certificate_is_presented_as_it_lies_there_when_hands_are_shaken(home: Path) -> None:
    file = user_file(home, "checkout")
    given = security("mtls", "checkout", file, authority_file(home))
    assert given["security_protocol"] == "SSL"
    _, server = shake(tls_of(given), broker(home))
    assert serial(server.getpeercert(binary_form=True)) == serial_in(file)
    before = serial_in(file)
    issue_to_user(home, "checkout")
    _, server = shake(tls_of(given), broker(home))
    assert serial(server.getpeercert(binary_form=True)) == serial_in(file) != before


def test_a_new_certificate_of_a_broker_is_trusted_and_one_of_another_authority_is_not(
    password: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given = security("scram", "checkout", password, authority_file(home))
    issue_to_broker(home, 1)
    client, _ = shake(tls_of(given), broker(home))
    assert serial(client.getpeercert(binary_form=True)) == serial_in(broker_file(home, 1))
    assert client.version() == "TLSv1.3"
    foreign = tmp_path_factory.mktemp("foreign")
    ensure_certificates(foreign, 1)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(tls_of(given), broker(foreign))


def test_an_authority_that_was_replaced_is_trusted_no_more(
    password: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given = security("scram", "checkout", password, authority_file(home))
    other = tmp_path_factory.mktemp("other")
    ensure_certificates(other, 1)
    authority_file(home).write_bytes(authority_file(other).read_bytes())
    shake(tls_of(given), broker(other))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(tls_of(given), broker(home))


def test_what_can_not_be_read_leaves_what_was_known(password: Path, home: Path) -> None:
    given = security("scram", "checkout", password, authority_file(home))
    password.write_bytes(b"\xff\xfe")
    assert given["sasl_plain_password"].encode("utf-8") == b"first"
    password.unlink()
    assert given["sasl_plain_password"].encode("utf-8") == b"first"
    same = broker(home)
    authority_file(home).write_text("no certificate")
    shake(tls_of(given), same)


@pytest.mark.parametrize("auth", ["scram", "mtls", "oauthbearer"])
def test_a_file_that_can_not_be_read_at_the_start_is_named(auth: Auth, home: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        security(auth, "checkout", home / "missing", authority_file(home))


def test_a_secret_is_in_no_error(home: Path) -> None:
    file = home / "secret"
    file.write_bytes(b"\xffhidden")
    with pytest.raises(OSError, match="holds no text") as caught:
        security("scram", "checkout", file, authority_file(home))
    assert "hidden" not in repr(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__suppress_context__
