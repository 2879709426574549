"""A service that is told to be another one, or may do too little, ends at its start and says why in one sentence."""

import asyncio
import itertools
import json
import re
from dataclasses import replace
from typing import NamedTuple

import asyncpg
import pytest

from waybill import provision, secrets
from waybill.local import shop
from waybill.provision.kafka.broker import Broker
from waybill.provision.kafka.difference import KafkaDifference
from waybill.provision.kafka.state import Acl
from waybill.stack import Stack

pytestmark = pytest.mark.integration

DEADLINE_S = 60.0
NOTHING = KafkaDifference({}, {}, {}, frozenset(), frozenset(), frozenset(), ())
PORTS = itertools.count(23_180)


SENTENCES = {
    "another's Kafka user": "as Kafka user fulfillment it may not read topic inventory.commands, "
    "read topic inventory.relay, read topic orders.billing, read topic orders.shipping, "
    "write topic inventory.commands, write topic inventory.dead-letters, write topic inventory.relay, "
    "write topic orders.stock, write topic products, read group inventory, write transactional id inventory.1, "
    "write transactional id inventory.relay",
    "a right is missing in Kafka": "as Kafka user checkout it may not write topic orders.status",
    "a wrong password in Kafka": "Kafka refuses user inventory: [Error 58] SaslAuthenticationFailed: Authentication "
    "failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512",
    "another's PostgreSQL role": "PostgreSQL role fulfillment in database accounting is not let in: "
    'permission denied for database "accounting"',
    "another's role and database": "PostgreSQL role fulfillment in database fulfillment finds no "
    "table idempotency_keys, table ledger, table refunds: is it ours, and migrated?",
    "a right is missing in PostgreSQL": "PostgreSQL role fulfillment in database fulfillment may not DELETE on "
    "table outputs",
    "a wrong password in PostgreSQL": "PostgreSQL role inventory in database inventory is not let in: "
    'password authentication failed for user "inventory"',
}


class Ended(NamedTuple):
    """How a process ended, what it said in its log, and all that it wrote."""

    code: int | None
    sentences: list[str]
    written: str


async def started(stack: Stack, service: str, **changes: str) -> Ended:
    """Start a service with a changed environment, and wait for its end."""
    program = shop.program(stack, service, "1", next(PORTS))
    process = await asyncio.create_subprocess_exec(
        *program.command, env=program.env | changes, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        out, _ = await process.communicate()
        return Ended(None, [], out.decode())
    lines = [json.loads(line) for line in out.decode().splitlines()]
    return Ended(process.returncode, [line["why"] for line in lines if "why" in line], out.decode())


def kafka_of(stack: Stack, service: str) -> dict[str, str]:
    theirs = shop.environment(stack, service, "1", 1)
    return {name: value for name, value in theirs.items() if name.startswith("WAYBILL_KAFKA_")}


def postgres_of(stack: Stack, service: str) -> dict[str, str]:
    theirs = shop.environment(stack, service, "1", 1)
    return {name: theirs[name] for name in ("WAYBILL_POSTGRES_USER", "WAYBILL_POSTGRES_PASSWORD_FILE")}


def without_namespace(stack: Stack, sentence: str) -> str:
    return sentence.replace(stack.names.prefix, "").replace(f"{stack.namespace}_", "")


async def without_one_right_each(stack: Stack) -> None:
    """Take one right from checkout in Kafka and one from fulfillment in PostgreSQL."""
    names = stack.names
    acl = Acl(f"User:{names.user('checkout')}", "write", "topic", names.topic("orders.status"))
    await Broker(stack.kafka_client("operator"), names).make(replace(NOTHING, extra_acls=frozenset({acl})), str)
    operator = await asyncpg.connect(stack.postgres_dsn("fulfillment", "operator"))
    await operator.execute(f"REVOKE DELETE ON outputs FROM {names.role('fulfillment')}")
    await operator.close()


async def test_a_service_that_may_not_do_its_work_ends_with_one_sentence_that_names_the_right(
    migrated_stack: Stack,
) -> None:
    stack = migrated_stack
    wrong = secrets.path_of(stack.home, f"wrong-{stack.namespace}")
    secrets.write(wrong, "a wrong password")
    await without_one_right_each(stack)
    of_fulfillment = postgres_of(stack, "fulfillment")
    cases = {
        "another's Kafka user": started(stack, "inventory", **kafka_of(stack, "fulfillment")),
        "a right is missing in Kafka": started(stack, "checkout"),
        "a wrong password in Kafka": started(stack, "inventory", WAYBILL_KAFKA_PASSWORD_FILE=str(wrong)),
        "another's PostgreSQL role": started(stack, "accounting", **of_fulfillment),
        "another's role and database": started(
            stack, "payment_gateway", **of_fulfillment, WAYBILL_POSTGRES_DATABASE=stack.names.database("fulfillment")
        ),
        "a right is missing in PostgreSQL": started(stack, "fulfillment"),
        "a wrong password in PostgreSQL": started(stack, "inventory", WAYBILL_POSTGRES_PASSWORD_FILE=str(wrong)),
    }
    ended = dict(zip(cases, await asyncio.gather(*cases.values()), strict=True))
    await provision.apply(stack)

    said = {case: [without_namespace(stack, why) for why in each.sentences] for case, each in ended.items()}
    assert said == {case: [sentence] for case, sentence in SENTENCES.items()}
    assert {each.code for each in ended.values()} == {3}
    assert not [
        each.written for each in ended.values() if re.search("Traceback|exception|a wrong password", each.written)
    ]
