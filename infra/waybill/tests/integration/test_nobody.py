"""Who has no password, or guesses one, gets in nowhere."""

import asyncio
from typing import Any

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from infra.waybill.tests.integration.trials import connected

from contracts import AUDITOR, OPERATOR, SERVICES, USERS
from waybill.local import shop
from waybill.stack import Stack

pytestmark = pytest.mark.integration

GUESSES = ("password", "admin", "changeme", "waybill")
STRANGERS = ("admin", "postgres", "ANONYMOUS")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256")


async def kafka(stack: Stack, user: str, password: str, mechanism: str = "SCRAM-SHA-512") -> str:
    """Return what a client's login ends with."""
    who = {"sasl_plain_username": user, "sasl_plain_password": password, "sasl_mechanism": mechanism}
    try:
        async with connected(stack, **who):
            return "let in"
    except KafkaError as error:
        return type(error).__name__


async def postgresql(stack: Stack, user: str, password: str, database: str = "postgres") -> str:
    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            host=stack.postgres_host,
            port=stack.postgres_port,
            user=user,
            password=password,
            database=database,
            ssl=False,
        )
    except asyncpg.PostgresError as error:
        return type(error).__name__
    await connection.close()
    return "let in"


async def test_nobody_gets_in_without_the_right_password(migrated_stack: Stack) -> None:
    stack, names = migrated_stack, migrated_stack.names
    users = [names.user(user) for user in (*USERS, OPERATOR)]
    others = [(user, stack.secret(f"kafka-{users[place - 1]}")) for place, user in enumerate(users)]
    guesses = [(user, guess) for user in (*users, *STRANGERS) for guess in (user, *GUESSES)] + others
    assert {*await asyncio.gather(*(kafka(stack, *guess) for guess in guesses))} == {"SaslAuthenticationFailed"}

    roles = [names.role(role) for role in (*SERVICES, AUDITOR, shop.GATEWAY_SERVICE, "registry", OPERATOR)]
    others = [(role, stack.secret(f"postgres-{roles[place - 1]}")) for place, role in enumerate(roles)]
    guesses = [(role, guess) for role in (*roles, *STRANGERS) for guess in (role, "", *GUESSES)] + others
    assert {*await asyncio.gather(*(postgresql(stack, *guess) for guess in guesses))} == {"InvalidPasswordError"}


async def test_kafka_knows_one_way_to_log_in_and_answers_nobody_without(migrated_stack: Stack) -> None:
    name = migrated_stack.names.user("inventory")
    password = migrated_stack.secret(f"kafka-{name}")
    assert await kafka(migrated_stack, name, password) == "let in"
    ended = [await kafka(migrated_stack, name, password, mechanism) for mechanism in MECHANISMS]
    assert set(ended) == {"UnsupportedSaslMechanismError"}
    async with connected(migrated_stack, security_protocol="SSL", sasl_mechanism=None) as anonymous:
        with pytest.raises(KafkaConnectionError):
            await anonymous.send(MetadataRequest([]))
