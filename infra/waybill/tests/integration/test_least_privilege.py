"""Every right that there is, tried by every user: what SECURITY.md says is allowed, and nothing else is."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from infra.waybill.tests.integration.trials import CLUSTER, VERBS, Cell, allowed, cells

from contracts import AUDITOR, OPERATOR, SERVICES, TOPICS, USERS, Names
from waybill import provision
from waybill.provision.kafka.broker import Broker
from waybill.provision.kafka.difference import KafkaDifference
from waybill.provision.kafka.state import Acl
from waybill.stack import Stack

pytestmark = pytest.mark.integration

NOTHING = KafkaDifference({}, {}, {}, frozenset(), frozenset(), frozenset(), ())
DEADLINE_S = 60.0
INTERNAL = ("__consumer_offsets", "__transaction_state")
Told = dict[str, tuple[set[str], set[str]]]


def told(security: str) -> Told:
    """Return who writes and who reads each topic, as SECURITY.md's table says; `<service>` stands for each of them."""
    rows = re.findall(r"^\| `([a-z.<>-]+)` \| ([^|]*)\| ([^|]*)\|$", security, re.MULTILINE)
    return {
        topic.replace("<service>", service): (users(writers, service), users(readers, service))
        for topic, writers, readers in rows
        for service in (SERVICES if "<service>" in topic else ("",))
    }


def users(cell: str, service: str) -> set[str]:
    return set(re.findall(r"[a-z]+", cell.replace("`<service>`", service)))


def everything(names: Names) -> list[Cell]:
    """Every right to every name of this namespace, and to the same names in the default one."""
    here, there = names, Names()
    return cells(
        {
            "topic": [*(each.topic(it.name) for each in (here, there) for it in TOPICS), *INTERNAL, here.topic("new")],
            "group": [each.group(user) for each in (here, there) for user in (*USERS, "new")],
            "transactional id": [
                each.transactional_id(user, instance)
                for each in (here, there)
                for user in (*USERS, "new")
                for instance in ("1", "relay")
            ],
            CLUSTER: [""],
        }
    )


def expected(names: Names, topics: Told, user: str) -> set[Cell]:
    """What the page says: to write or read a topic is to describe it too, and so with transactional ids and groups."""
    if user == OPERATOR:
        return set(everything(names))
    granted = {(verb, "topic", names.topic(topic)) for topic in topics for verb in verbs(topics[topic], user)}
    if user == AUDITOR:
        groups = [names.group(each) for each in (*SERVICES, AUDITOR)]
        ids = [names.transactional_id(service, instance) for service in SERVICES for instance in ("1", "relay")]
        granted |= {("describe", "group", group) for group in groups}
        granted |= {("describe", "transactional id", each) for each in ids}
        granted |= {("describe", CLUSTER, "")}
    elif user in SERVICES:
        granted |= {(verb, "group", names.group(user)) for verb in ("read", "describe")}
        granted |= {
            (verb, "transactional id", names.transactional_id(user, instance))
            for verb in VERBS["transactional id"]
            for instance in ("1", "relay")
        }
    return {Cell(*each) for each in granted}


def verbs(topic: tuple[set[str], set[str]], user: str) -> Iterator[str]:
    writers, readers = topic
    if user in writers:
        yield "write"
    if user in readers | {AUDITOR}:
        yield "read"
    if user in writers | readers | {AUDITOR}:
        yield "describe"


async def found(stack: Stack, user: str) -> set[Cell]:
    return await allowed(stack, user, everything(stack.names))


async def test_in_kafka_a_user_may_do_what_this_page_says_and_nothing_else(
    migrated_stack: Stack, security: str
) -> None:
    topics = told(security)
    assert topics.keys() == {topic.name for topic in TOPICS}
    everybody = (*USERS, OPERATOR)
    may = dict(zip(everybody, await asyncio.gather(*(found(migrated_stack, user) for user in everybody)), strict=True))
    wrong = {user: may[user] ^ expected(migrated_stack.names, topics, user) for user in everybody}
    assert wrong == {user: set() for user in everybody}


async def beyond(stack: Stack, user: str, expects: set[Cell]) -> set[Cell]:
    """Return what a user may do beyond what is expected, as soon as that is anything."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if extra := await found(stack, user) - expects:
                return extra
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("right", [("write", "topic", "orders.billing"), ("read", "group", "accounting")])
async def test_a_grant_too_many_in_kafka_is_found(
    migrated_stack: Stack, security: str, right: tuple[str, str, str]
) -> None:
    names = migrated_stack.names
    verb, kind, name = right
    acl = Acl(f"User:{names.user('fulfillment')}", verb, kind, names.prefix + name)
    await Broker(migrated_stack.kafka_client(OPERATOR), names).make(replace(NOTHING, new_acls=frozenset({acl})), str)
    extra = await beyond(migrated_stack, "fulfillment", expected(names, told(security), "fulfillment"))
    await provision.apply(migrated_stack)
    assert Cell(verb, kind, names.prefix + name) in extra
