"""Kafka's part: topics, users, permissions."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from waybill.credentials import credential_file
from waybill.errors import UsageError
from waybill.local.issuing import ensure_credential
from waybill.provision.changes import Plan
from waybill.provision.kafka.broker import Broker
from waybill.provision.kafka.difference import KafkaDifference, difference
from waybill.provision.kafka.state import desired
from waybill.stack import Stack

SETTLE_S = 15.0
POLL_S = 0.05


async def plan_kafka(stack: Stack) -> Plan:
    """Return what differs in Kafka."""
    return (await _difference(_broker(stack), stack)).plan()


async def provision_kafka(stack: Stack) -> Plan:
    """Make topics, users and permissions as the contracts say, and wait until a broker tells them all."""
    broker = _broker(stack)
    differs = await _difference(broker, stack)
    made = differs.plan()
    if made.changes:
        for user in differs.new_users:
            ensure_credential(stack, user)
        scram = stack.kafka_auth == "scram"  # otherwise no broker keeps anything of a user
        await broker.make(differs if scram else replace(differs, new_users=frozenset()), _password_of(stack))
        await _seen(broker, stack)
    return made


async def _seen(broker: Broker, stack: Stack) -> None:
    """Wait until what was answered can be read, which is a little later."""
    left = Plan()
    try:
        async with asyncio.timeout(SETTLE_S):
            while True:
                left = (await _difference(broker, stack)).plan()
                if not left.changes:
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        unseen = ", ".join(f"{change.kind} {change.name}" for change in left.changes[:3])
        raise UsageError(f"Kafka took the changes but does not show them after {SETTLE_S:.0f} s: {unseen}") from None


def _broker(stack: Stack) -> Broker:
    return Broker(stack.kafka_client("operator"), stack.names)


async def _difference(broker: Broker, stack: Stack) -> KafkaDifference:
    actual, wanted = await broker.read(), desired(stack.names, stack.brokers)
    users = actual.users if stack.kafka_auth == "scram" else wanted.users
    # Kafka can't tell a password: a user whose secret is lost here is made again
    known = frozenset(user for user in users if credential_file(stack.home, stack.kafka_auth, user).exists())
    return difference(wanted, replace(actual, users=known))


def _password_of(stack: Stack) -> Callable[[str], str]:
    return lambda user: credential_file(stack.home, "scram", user).read_text()


__all__ = ["plan_kafka", "provision_kafka"]
