"""A certificate authority for one stack; a certificate for each broker and, with mTLS, for each user."""

import datetime as dt
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from waybill import secrets

AUTHORITY_KEY = "tls-authority.pem"
VALID_DAYS = 825
BROKER = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)  # among each other they are clients too
Key = ec.EllipticCurvePrivateKey


def ensure_certificates(home: Path, brokers: int) -> None:
    """Make the authority and a PEM key store for each broker (PKCS 8 key and chain), where they are missing."""
    authority = authority_file(home)
    if not (authority.exists() and secrets.path_of(home, AUTHORITY_KEY).exists()):
        for orphan in authority.parent.glob("*.pem"):
            orphan.unlink()
        key, certificate = _authority()
        secrets.write(secrets.path_of(home, AUTHORITY_KEY), _pem(key))
        secrets.write(authority, _pem(certificate))
    for number in range(1, brokers + 1):
        if not broker_file(home, number).exists():
            issue_to_broker(home, number)


def authority_file(home: Path) -> Path:
    """Return the file with the certificate that everybody trusts."""
    return home / "tls" / "ca.pem"


def broker_file(home: Path, number: int) -> Path:
    """Return a broker's key store."""
    return home / "tls" / f"broker-{number}.pem"


def user_file(home: Path, user: str) -> Path:
    """Return the file with a user's key and certificate, whether or not there is one."""
    return home / "tls" / f"user-{user}.pem"


def issue_to_broker(home: Path, number: int) -> None:
    """Write a new key store for a broker, which loads it when it starts, or when it is told to."""
    in_network = x509.DNSName(f"kafka-{number}")  # of containers
    addresses = [x509.DNSName("localhost"), in_network, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    names = x509.SubjectAlternativeName(addresses)
    _issue(home, f"broker-{number}", broker_file(home, number), [x509.ExtendedKeyUsage(BROKER), names])


def issue_to_user(home: Path, user: str) -> None:
    """Write a new key and certificate with which a user proves its name; a server it can't be."""
    _issue(home, user, user_file(home, user), [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])])


def _issue(home: Path, common_name: str, store: Path, extensions: Iterable[x509.ExtensionType]) -> None:
    signing = serialization.load_pem_private_key(secrets.read(home, AUTHORITY_KEY).encode(), password=None)
    assert isinstance(signing, Key)  # noqa: S101  # made below
    authority = x509.load_pem_x509_certificate(authority_file(home).read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common_name), key.public_key(), authority.subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    certificate = builder.add_extension(signer, critical=False).sign(signing, hashes.SHA256())
    secrets.write(store, _pem(key) + _pem(certificate) + _pem(authority))


def _authority() -> tuple[Key, x509.Certificate]:
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("waybill local authority")
    builder = _builder(name, key.public_key(), name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return key, builder.sign(key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(name: x509.Name, public: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - dt.timedelta(minutes=5)).not_valid_after(now + dt.timedelta(days=VALID_DAYS))


def _pem(thing: Key | x509.Certificate) -> str:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM).decode()
    plain = serialization.NoEncryption()
    return thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()
