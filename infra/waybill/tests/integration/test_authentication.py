"""Each way in which brokers know their clients: the same permissions hold, and nobody else comes in."""

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from confluent_kafka import Consumer, TopicPartition
from infra.waybill.tests.integration.lone_broker import lone_broker

from contracts import OPERATOR
from exactly_once import Auth, KafkaSettings, Retryable
from exactly_once.batch import Output, Partition
from exactly_once.errors import PublishFailed
from exactly_once.kafka.producer import TransactionalProducer
from waybill import secrets
from waybill.local import issuer
from waybill.local.certificates import broker_file, ensure_certificates, issue_to_user, user_file
from waybill.local.issuer import ensure_issuer, issued
from waybill.local.issuing import ensure_credential
from waybill.local.layout import CLIENT, CONTROLLER, INTERNAL, LOOPBACK, Options
from waybill.provision.kafka.broker import Broker
from waybill.rotate.certificates import rotate_broker_certificate, rotate_user_certificate
from waybill.rotate.passwords import rotate_password
from waybill.seen import lets_in
from waybill.stack import Stack
from waybill.token import Signer

pytestmark = pytest.mark.integration

WAYS: tuple[Auth, ...] = ("scram", "mtls", "oauthbearer")
PROOF = Output(Partition("orders", 0), 0, "orders.stock", b"key", b"value", ())
ONLY_SCRAM = pytest.mark.parametrize("broker", ["scram"], indirect=True)
ONLY_TOKENS = pytest.mark.parametrize("broker", ["oauthbearer"], indirect=True)


@pytest.fixture(scope="module", params=WAYS)
def broker(request: pytest.FixtureRequest) -> Iterator[Options]:
    with lone_broker(request.param) as options:
        yield options


@pytest.fixture
def stack(broker: Options) -> Stack:
    return broker.stack()


@pytest.fixture
def inventory(stack: Stack) -> KafkaSettings:
    """The settings of a service."""
    return KafkaSettings(
        bootstrap=stack.kafka_bootstrap,
        user="inventory",
        credential=stack.kafka_credential("inventory"),
        ca_file=stack.kafka_ca,
        auth=stack.kafka_auth,
    )


def nobody_to_tell() -> None:
    """Whoever connects here looks at the home itself."""


async def entry(settings: KafkaSettings, owner: str = "inventory") -> str:
    """How it ends to come in and write as the owner of a transactional id: "" or the reason why not."""
    producer = TransactionalProducer(settings, owner, "1")
    try:
        await producer.replace()
        await producer.publish([PROOF])
    except (Retryable, PublishFailed) as error:
        return str(error)
    finally:
        await producer.stop()
    return ""


def first_value(stack: Stack, user: str, topic: str) -> bytes | str:
    """The first record of a topic, or the name of the error that its reader gets."""
    consumer = Consumer(stack.kafka_client(user) | {"group.id": user, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(3)])
        (found,) = consumer.consume(timeout=15.0)
        error = found.error()
        return error.name() if error else found.value() or b""
    finally:
        consumer.close()


async def test_a_service_may_do_what_it_is_granted_and_no_more_however_it_is_known(
    stack: Stack, inventory: KafkaSettings
) -> None:
    assert await entry(inventory) == ""
    assert await asyncio.to_thread(first_value, stack, "auditor", "orders.stock") == b"value"
    assert "TransactionalIdAuthorizationFailed" in await entry(inventory, owner="accounting")
    accounting = replace(inventory, user="accounting", credential=stack.kafka_credential("accounting"))
    assert "TopicAuthorizationFailed" in await entry(accounting, owner="accounting")


def unsigned(token: str) -> str:
    return jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", "none")


def impostors(stack: Stack, folder: Path) -> Mapping[str, str]:
    """What others would show instead, by what is wrong with it."""
    if stack.kafka_auth == "scram":
        return {"made up": "password", "another's": stack.kafka_credential("accounting").read_text()}
    ensure_certificates(folder, 1)
    issue_to_user(folder, "inventory")
    ensure_issuer(folder)
    if stack.kafka_auth == "mtls":
        return {"of a foreign authority": user_file(folder, "inventory").read_text()}
    return {
        "of a foreign issuer": issued(folder, "inventory"),
        "expired": issued(stack.home, "inventory", ttl_s=-60),
        "for the HTTP interface": Signer(stack).customer("inventory"),
        "unsigned": unsigned(issued(stack.home, "inventory")),
        "nonsense": "nonsense",
    }


async def test_whoever_shows_something_else_is_refused(stack: Stack, inventory: KafkaSettings, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    answers: dict[str, str] = {}
    for name, content in impostors(stack, tmp_path).items():
        shown.write_text(content)
        answers[name] = await entry(replace(inventory, credential=shown))
    assert answers
    assert {name: "as user inventory" in answer for name, answer in answers.items()} == dict.fromkeys(answers, True)
    shown.write_bytes(inventory.credential.read_bytes())
    assert await entry(replace(inventory, credential=shown)) == ""


def test_whoever_shows_nothing_is_refused(stack: Stack) -> None:
    nobody = {"security.protocol": "SSL", "ssl.ca.location": str(stack.kafka_ca), "log_level": "0"}
    assert not lets_in(nobody)(stack.kafka_bootstrap)
    assert lets_in(stack.kafka_client("inventory"))(stack.kafka_bootstrap)


@ONLY_TOKENS
async def test_a_token_for_another_audience_is_refused(
    stack: Stack, inventory: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer, "AUDIENCE", "waybill")
    shown = tmp_path / "shown"
    secrets.write(shown, issued(stack.home, "inventory"))
    assert "as user inventory" in await entry(replace(inventory, credential=shown))


@ONLY_TOKENS
async def test_a_connection_ends_with_its_token_and_the_next_one_shows_what_the_file_holds_then(
    stack: Stack, inventory: KafkaSettings
) -> None:
    secrets.write(inventory.credential, issued(stack.home, "inventory", ttl_s=2))
    expired = time.monotonic() + 2
    producer = TransactionalProducer(inventory, "inventory", "1")
    await producer.replace()
    await producer.publish([PROOF])
    secrets.write(inventory.credential, issued(stack.home, "inventory"))
    await asyncio.sleep(max(0.0, expired + 0.5 - time.monotonic()))
    with pytest.raises(PublishFailed, match="stays unanswered"):
        await producer.publish([PROOF])
    await producer.replace()
    await producer.publish([PROOF])
    await producer.stop()


def cut(producer: TransactionalProducer) -> None:
    """Break the connections of a producer that goes on."""
    client = producer._producer.client  # type: ignore[union-attr]  # noqa: SLF001  # nobody else can break them alone
    for connection in list(client._conns.values()):  # noqa: SLF001
        connection.close()


async def rotate(stack: Stack) -> list[str]:
    """Give inventory something new to show."""
    if stack.kafka_auth == "scram":
        return await asyncio.to_thread(rotate_password, stack, "inventory", nobody_to_tell)
    if stack.kafka_auth == "mtls":
        return await asyncio.to_thread(rotate_user_certificate, stack, "inventory", nobody_to_tell)
    stack.kafka_credential("inventory").unlink()
    ensure_credential(stack, "inventory")
    return []


async def test_a_client_goes_on_through_a_rotation_and_connects_with_what_is_new(
    stack: Stack, inventory: KafkaSettings
) -> None:
    producer = TransactionalProducer(inventory, "inventory", "1")
    await producer.replace()
    before = inventory.credential.read_text()
    assert await rotate(stack) == []
    assert inventory.credential.read_text() != before
    await producer.publish([PROOF])
    inventory.credential.write_text("nonsense")
    await producer.publish([PROOF])
    assert await rotate(stack) == []
    cut(producer)
    await producer.publish([PROOF])
    await producer.stop()


@ONLY_SCRAM
async def test_a_password_that_was_changed_lets_nobody_in(
    stack: Stack, inventory: KafkaSettings, tmp_path: Path
) -> None:
    shown = tmp_path / "shown"
    shown.write_bytes(inventory.credential.read_bytes())
    assert await rotate(stack) == []
    assert "as user inventory" in await entry(replace(inventory, credential=shown))
    assert await entry(inventory) == ""


@ONLY_SCRAM
@pytest.mark.parametrize("name", ["inventory", OPERATOR])
@pytest.mark.parametrize("cut_short", ["before Kafka knew", "when Kafka knew"])
async def test_a_rotation_that_was_cut_short_is_finished_by_the_next(stack: Stack, name: str, cut_short: str) -> None:
    file = stack.kafka_credential(name)
    following = file.with_name(f"{file.name}.next")
    secrets.write(following, secrets.made_up())
    if cut_short == "when Kafka knew":
        await Broker(stack.kafka_client(OPERATOR), stack.names).set_password(name, following.read_text())
    assert await asyncio.to_thread(rotate_password, stack, name, nobody_to_tell) == []
    assert not following.exists()
    assert lets_in(stack.kafka_client(name))(stack.kafka_bootstrap)


def shown_by(options: Options, listener: int) -> str:
    return ssl.get_server_certificate((LOOPBACK, options.port(listener)), timeout=5)


async def test_a_broker_shows_its_new_certificate_without_a_restart_and_clients_go_on(
    broker: Options, stack: Stack, inventory: KafkaSettings
) -> None:
    listeners = (CLIENT, INTERNAL, CONTROLLER)
    before = {listener: shown_by(broker, listener) for listener in listeners}
    producer = TransactionalProducer(inventory, "inventory", "1")
    await producer.replace()
    assert await asyncio.to_thread(rotate_broker_certificate, stack, "kafka-1", nobody_to_tell) == []
    store = broker_file(stack.home, 1).read_text()
    assert all(shown not in store for shown in before.values())
    assert shown_by(broker, CLIENT) in store
    until = time.monotonic() + 5
    while not all(shown_by(broker, listener) in store for listener in listeners):
        assert time.monotonic() < until
    await producer.publish([PROOF])
    cut(producer)
    await producer.publish([PROOF])
    await producer.stop()
