"""What proves to Kafka who a user is: in which file it lies, and how librdkafka is given it."""

from pathlib import Path
from typing import Any

import jwt

from exactly_once import Auth
from waybill import secrets


def credential_file(home: Path, auth: Auth, user: str) -> Path:
    """Return the file of a Kafka user: with a password, with a key and its certificate, or with a token."""
    if auth == "mtls":
        return home / "tls" / f"user-{user}.pem"
    return secrets.path_of(home, f"kafka-{user}" if auth == "scram" else f"kafka-token-{user}")


def librdkafka(auth: Auth, user: str, file: Path) -> dict[str, Any]:
    """Return the security settings of a librdkafka client. FileNotFoundError: the user has no password yet."""
    if auth == "mtls":
        return {"security.protocol": "SSL", "ssl.certificate.location": str(file), "ssl.key.location": str(file)}
    sasl = {"security.protocol": "SASL_SSL"}
    if auth == "oauthbearer":
        return sasl | {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": lambda _: _token(file)}
    return sasl | {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": user, "sasl.password": file.read_text()}


def _token(file: Path) -> tuple[str, float]:
    """Return the token and when it expires, in seconds since the epoch."""
    token = file.read_text().strip()
    return token, float(jwt.decode(token, options={"verify_signature": False})["exp"])
