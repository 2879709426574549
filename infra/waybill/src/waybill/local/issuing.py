"""Gives Kafka's users what proves who they are, in whatever way the stack authenticates."""

from contracts import OPERATOR
from waybill import secrets
from waybill.credentials import credential_file
from waybill.local.certificates import ensure_certificates, issue_to_user
from waybill.local.issuer import ensure_issuer, issued
from waybill.stack import Stack


def prepare(stack: Stack) -> None:
    """Make what the brokers start with (authority, certificates, issuer) and the operator's way in; renew tokens."""
    ensure_certificates(stack.home, stack.brokers)
    ensure_issuer(stack.home)
    renew_tokens(stack)
    ensure_credential(stack, OPERATOR)


def ensure_credential(stack: Stack, user: str) -> None:
    """Make the file of a user (its name in Kafka) if there is none: a password, a certificate or a token."""
    file = credential_file(stack.home, stack.kafka_auth, user)
    if file.exists():
        return
    if stack.kafka_auth == "scram":
        secrets.ensure(stack.home, file.name)
    elif stack.kafka_auth == "mtls":
        issue_to_user(stack.home, user)
    else:
        secrets.write(file, issued(stack.home, user))


def renew_tokens(stack: Stack) -> None:
    """Replace every token by one that is good for a day; its bearer reads it when it connects the next time."""
    if stack.kafka_auth != "oauthbearer":
        return
    prefix = credential_file(stack.home, stack.kafka_auth, "").name
    for file in secrets.path_of(stack.home, prefix).parent.glob(f"{prefix}*"):
        secrets.write(file, issued(stack.home, file.name.removeprefix(prefix)))
