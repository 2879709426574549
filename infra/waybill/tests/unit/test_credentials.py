"""What proves who a user is: where it lies, who can read it, what a stack of each way gives its services."""

import re
import stat
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chassis.settings import ServiceSettings
from exactly_once import Auth
from waybill import secrets
from waybill.errors import UsageError
from waybill.local import issuing, listeners, shop
from waybill.local.certificates import AUTHORITY_KEY, authority_file, broker_file, ensure_certificates, user_file
from waybill.local.layout import Options
from waybill.rotate.command import rotate
from waybill.stack import STACK_FILE, Stack

WAYS: tuple[Auth, ...] = ("scram", "mtls", "oauthbearer")


def stack_of(tmp_path: Path, auth: Auth) -> Stack:
    return Options.model_validate({"home": tmp_path, "cache": tmp_path, "auth": auth, "brokers": 1}).stack()


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(file.read_bytes())[0]


@pytest.mark.parametrize("auth", WAYS)
def test_a_service_is_told_how_it_is_known_and_given_the_file_for_it(tmp_path: Path, auth: Auth) -> None:
    stack = stack_of(tmp_path, auth)
    issuing.prepare(stack)
    issuing.ensure_credential(stack, "inventory")
    told = shop.environment(stack, "inventory", "1", 1)
    given = {name.removeprefix("WAYBILL_").lower(): value for name, value in told.items()}
    kafka = ServiceSettings.model_validate(given).kafka()
    assert (kafka.auth, kafka.user, kafka.credential) == (auth, "inventory", stack.kafka_credential("inventory"))
    assert stat.S_IMODE(kafka.credential.stat().st_mode) == 0o600


@pytest.mark.parametrize("auth", WAYS)
def test_a_service_without_the_file_of_its_way_says_so(tmp_path: Path, auth: Auth) -> None:
    told = shop.environment(stack_of(tmp_path, auth), "inventory", "1", 1)
    given = {name.removeprefix("WAYBILL_").lower(): value for name, value in told.items() if value}
    del given[shop.CREDENTIAL[auth].removeprefix("WAYBILL_").lower()]
    with pytest.raises(OSError, match=f"WAYBILL_KAFKA_AUTH is {auth}, and no file is named for it"):
        ServiceSettings.model_validate(given).kafka()


def test_a_users_certificate_names_it_and_is_none_of_a_server(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, "mtls")
    issuing.prepare(stack)
    issuing.ensure_credential(stack, "t1.inventory")
    found = certificate(user_file(tmp_path, "t1.inventory"))
    (name,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (name.value, list(usages)) == ("t1.inventory", [ExtendedKeyUsageOID.CLIENT_AUTH])
    found.verify_directly_issued_by(certificate(authority_file(tmp_path)))


def test_a_home_without_the_authoritys_key_gets_everything_anew(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, 1)
    before = certificate(broker_file(tmp_path, 1))
    secrets.path_of(tmp_path, AUTHORITY_KEY).unlink()
    ensure_certificates(tmp_path, 1)
    after = certificate(broker_file(tmp_path, 1))
    assert after.serial_number != before.serial_number
    after.verify_directly_issued_by(certificate(authority_file(tmp_path)))


def test_tokens_are_renewed_and_nothing_else_is(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, "oauthbearer")
    issuing.prepare(stack)
    file = stack.kafka_credential("inventory")
    secrets.write(file, "long expired")
    secrets.write(secrets.path_of(tmp_path, "kafka-inventory"), "a password")
    issuing.renew_tokens(stack)
    assert jwt.decode(file.read_text(), options={"verify_signature": False})["sub"] == "inventory"
    assert secrets.read(tmp_path, "kafka-inventory") == "a password"


ASKS = {
    "scram": r"scram-sha-512\.sasl\.jaas\.config=.*ScramLoginModule required;",
    "mtls": r"ssl\.client\.auth=required",
    "oauthbearer": r"oauthbearer\.sasl\.jaas\.config=.*OAuthBearerLoginModule required;",
}


@pytest.mark.parametrize("auth", WAYS)
def test_no_way_leaves_a_listener_open(tmp_path: Path, auth: Auth) -> None:
    stack = stack_of(tmp_path, auth)
    issuing.prepare(stack)
    told = listeners.properties(auth, tmp_path, ["CLIENT", "HOST"]).splitlines()
    for each in ("client", "host"):
        assert any(re.fullmatch(rf"listener\.name\.{each}\.{ASKS[auth]}", line) for line in told)
    assert listeners.protocol(auth) == ("SSL" if auth == "mtls" else "SASL_SSL")


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("password", "till", "there is no till with a password at Kafka; there are checkout, inventory"),
        ("password", "kafka-1", "there is no kafka-1 with a password at Kafka"),
        ("certificate", "kafka-2", "there is no kafka-2 with a certificate at Kafka"),
        ("certificate", "inventory", "inventory has no certificate at Kafka: this stack was started with --auth scram"),
    ],
)
def test_what_can_not_be_rotated_is_refused_with_what_could(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, said: str
) -> None:
    monkeypatch.setenv("WAYBILL_HOME", str(tmp_path))
    (tmp_path / STACK_FILE).write_text(stack_of(tmp_path, "scram").model_dump_json())
    with pytest.raises(UsageError, match=said):
        rotate(kind, name)  # type: ignore[arg-type]  # the command line gives strings
    assert not (tmp_path / "secrets").exists()
