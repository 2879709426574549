"""How the brokers' listener for clients knows who is there: a part of their properties for each way."""

from pathlib import Path

from exactly_once import Auth
from waybill.local.issuer import AUDIENCE, ISSUER, public_keys

OAUTH = "org.apache.kafka.common.security.oauthbearer"

_SCRAM = """\
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""

_MTLS = """\
listener.name.client.ssl.client.auth=required
"""

_OAUTHBEARER = f"""\
sasl.enabled.mechanisms=OAUTHBEARER
listener.name.client.oauthbearer.sasl.jaas.config={OAUTH}.OAuthBearerLoginModule required;
listener.name.client.oauthbearer.sasl.server.callback.handler.class={OAUTH}.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.expected.issuer={ISSUER}
sasl.oauthbearer.expected.audience={AUDIENCE}
"""


def protocol(auth: Auth) -> str:
    """Return the security protocol of the clients' listener."""
    return "SSL" if auth == "mtls" else "SASL_SSL"


def properties(auth: Auth, home: Path) -> str:
    """Return the properties of the clients' listener."""
    if auth == "oauthbearer":
        return f"{_OAUTHBEARER}sasl.oauthbearer.jwks.endpoint.url={public_keys(home).as_uri()}\n"
    return _MTLS if auth == "mtls" else _SCRAM


def java_flags(auth: Auth, home: Path) -> list[str]:
    """Return what a broker's JVM must be told beside: Kafka reads keys only from where it is allowed to."""
    if auth != "oauthbearer":
        return []
    return [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={public_keys(home).as_uri()}"]
