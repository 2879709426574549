"""A certificate authority for one stack, and a certificate for each broker."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from waybill import secrets

VALID_DAYS = 825
Key = ec.EllipticCurvePrivateKey


def ensure_certificates(home: Path, brokers: int) -> None:
    """Make the authority and a PEM key store for each broker (PKCS 8 key and chain), where they are missing."""
    folder = home / "tls"
    stores = {number: folder / f"broker-{number}.pem" for number in range(1, brokers + 1)}
    if (folder / "ca.pem").exists() and all(store.exists() for store in stores.values()):
        return
    authority_key, authority = _authority()
    for number, store in stores.items():
        key, certificate = _broker(number, authority_key, authority)
        secrets.write(store, _pem(key) + _pem(certificate) + _pem(authority))
    secrets.write(folder / "ca.pem", _pem(authority))  # the authority's key is not kept: nobody can sign another


def _authority() -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "waybill local authority")])
    builder = _builder(name, key.public_key(), name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return key, builder.sign(key, hashes.SHA256())


def _broker(number: int, signing: Key, authority: x509.Certificate) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"broker-{number}")])
    in_network = x509.DNSName(f"kafka-{number}")  # of containers
    addresses = [x509.DNSName("localhost"), in_network, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(name, key.public_key(), authority.subject)
    builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    return key, builder.add_extension(signer, critical=False).sign(signing, hashes.SHA256())


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
