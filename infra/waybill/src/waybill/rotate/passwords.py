"""A user's password at Kafka, which keeps one for each user: connections that stand stay, new ones need the new one."""

import asyncio
from pathlib import Path

from contracts import OPERATOR
from waybill import secrets
from waybill.credentials import librdkafka
from waybill.provision.kafka.broker import Broker
from waybill.rotate import Renewal
from waybill.seen import behind, lets_in
from waybill.stack import Stack


def rotate_password(stack: Stack, name: str, renew: Renewal) -> list[str]:
    """Give a logical user a new password; return the brokers that do not let it in yet. UsageError: Kafka refuses.

    Who connects between Kafka's answer and the end of `renew` is refused, and tries again: for milliseconds, in
    containers for a second or two. A rotation that was cut short is finished by the next one.
    """
    file = stack.kafka_credential(name)
    following = file.with_name(f"{file.name}.next")
    if following.exists() and not behind(stack, lets_in(_client(stack, name, following)), deadline_s=0):
        following.rename(file)
    if not following.exists():
        secrets.write(following, secrets.made_up())
    broker = Broker(stack.kafka_client(OPERATOR), stack.names)
    asyncio.run(broker.set_password(stack.names.user(name), following.read_text()))
    following.rename(file)
    renew()
    return behind(stack, lets_in(stack.kafka_client(name)))


def _client(stack: Stack, name: str, file: Path) -> dict[str, object]:
    return stack.kafka_client(name) | librdkafka("scram", stack.names.user(name), file)
