"""Kafka's part: topics, users, permissions."""

import asyncio
from dataclasses import replace

from waybill import secrets
from waybill.errors import UsageError
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
        await broker.make(differs, lambda user: secrets.ensure(stack.home, _secret(user)))
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
    actual = await broker.read()
    # Kafka can't tell a password: a user whose secret is lost here is made again
    known = frozenset(user for user in actual.users if secrets.path_of(stack.home, _secret(user)).exists())
    return difference(desired(stack.names, stack.brokers), replace(actual, users=known))


def _secret(user: str) -> str:
    return f"kafka-{user}"


__all__ = ["plan_kafka", "provision_kafka"]
