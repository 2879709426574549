"""How the brokers' listeners for clients know who is there: a part of their properties for each way."""

from collections.abc import Iterable
from pathlib import Path

from exactly_once import Auth
from waybill.local.issuer import AUDIENCE, ISSUER, public_keys

_LOGIN = "org.apache.kafka.common.security"

_MECHANISM: dict[Auth, str] = {"scram": "SCRAM-SHA-512", "oauthbearer": "OAUTHBEARER"}

_OF_LISTENER: dict[Auth, str] = {
    "scram": "{listener}.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;",
    "mtls": "{listener}.ssl.client.auth=required",
    "oauthbearer": """\
{listener}.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required;
{listener}.oauthbearer.sasl.server.callback.handler.class={login}.oauthbearer.OAuthBearerValidatorCallbackHandler""",
}


def protocol(auth: Auth) -> str:
    """Return the security protocol of the clients' listeners."""
    return "SSL" if auth == "mtls" else "SASL_SSL"


def properties(auth: Auth, issuer: Path, listeners: Iterable[str]) -> str:
    """Return the properties of the clients' listeners; `issuer` is the home of who signs their tokens."""
    of_each = [_OF_LISTENER[auth].format(listener=f"listener.name.{each.lower()}", login=_LOGIN) for each in listeners]
    of_all = [f"sasl.enabled.mechanisms={_MECHANISM[auth]}"] if auth in _MECHANISM else []
    if auth == "oauthbearer":
        of_all += [
            f"sasl.oauthbearer.expected.issuer={ISSUER}",
            f"sasl.oauthbearer.expected.audience={AUDIENCE}",
            f"sasl.oauthbearer.jwks.endpoint.url={public_keys(issuer).as_uri()}",
        ]
    return "\n".join([*of_all, *of_each])


def java_flags(auth: Auth, home: Path) -> list[str]:
    """Return what a broker's JVM must be told beside: Kafka reads keys only from where it is allowed to."""
    if auth != "oauthbearer":
        return []
    return [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={public_keys(home).as_uri()}"]
