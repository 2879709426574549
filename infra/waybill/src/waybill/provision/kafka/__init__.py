"""Kafka's part: topics, users, permissions."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from contracts import USERS, permissions
from waybill.credentials import credential_file
from waybill.errors import UsageError
from waybill.local.issuing import ensure_credential
from waybill.provision.changes import Plan
from waybill.provision.kafka.broker import Broker
from waybill.provision.kafka.difference import KafkaDifference, difference
from waybill.provision.kafka.state import desired
from waybill.seen import behind, is_down, lets_in
from waybill.stack import Stack

SETTLE_S = 15.0
POLL_S = 0.05


async def plan_kafka(stack: Stack) -> Plan:
    """Return what differs in Kafka."""
    return (await _difference(_broker(stack), stack)).plan()


async def provision_kafka(stack: Stack) -> Plan:
    """Make topics, users and permissions as the contracts say; return once every broker that runs has heard of them.

    UsageError: no broker answers, or one does not hear of what was made; to run it again does not wait for that.
    """
    broker = _broker(stack)
    differs = await _difference(broker, stack)
    made = differs.plan()
    if made.changes:
        for user in differs.new_users:
            ensure_credential(stack, user)
        scram = stack.kafka_auth == "scram"  # otherwise no broker keeps anything of a user
        await broker.make(differs if scram else replace(differs, new_users=frozenset()), _password_of(stack))
        await _told(broker, stack)
        await _seen_by_all(stack)
    return made


async def _told(broker: Broker, stack: Stack) -> None:
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


async def _seen_by_all(stack: Stack) -> None:
    """Wait until each broker lets each user in, and tells it of the topics that it may describe.

    A broker learns from the cluster's log, some milliseconds after others: a service that starts at once and meets it
    would be refused what it was just granted. Permissions that are made at once are one entry of that log, so that the
    right to describe a topic vouches for the others.
    """
    left = await asyncio.gather(*(asyncio.to_thread(_blind, stack, user) for user in USERS))
    if blind := ", ".join(sorted(frozenset[str]().union(*left))):
        raise UsageError(f"Kafka took the changes, but {blind} did not learn of them: see the brokers' logs")


def _blind(stack: Stack, user: str) -> list[str]:
    """Return the brokers that do not know a logical user, or what it may describe."""
    mine = stack.names.user(user)
    topics = {it.name for it in permissions(stack.names) if (it.user, it.resource) == (mine, "topic")}
    knows = lets_in(stack.kafka_client(user), topics)
    return behind(stack, lambda place: is_down(place) or knows(place), deadline_s=SETTLE_S)


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
