"""What a service's user may do, and what it is refused, as its clients see it; every right: test_least_privilege.py."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts import TOPICS
from waybill.stack import Stack

pytestmark = pytest.mark.integration

DEADLINE_S = 15.0


def client(stack: Stack, user: str, **settings: str) -> dict[str, str | int | float | bool]:
    return {**stack.kafka_client(user), "log_level": 0, **settings}


def produced(stack: Stack, user: str, topic: str) -> str:
    """Return what a write ends with: "" or the error's name."""
    ends: list[KafkaError | None] = []
    producer = Producer(client(stack, user))
    producer.produce(topic, b"value", key=b"key", on_delivery=lambda error, _: ends.append(error))
    producer.flush(DEADLINE_S)
    (error,) = ends
    return error.name() if error else ""


def began(stack: Stack, user: str, transactional_id: str) -> str:
    """Return what taking a transactional id ends with: "" or the error's name."""
    producer = Producer(client(stack, user, **{"transactional.id": transactional_id}))
    try:
        producer.init_transactions(DEADLINE_S)
    except KafkaException as error:
        return str(error.args[0].name())
    return ""


def polled(consumer: Consumer) -> str:
    """Return the name of the first error, or "" once a record or the partition's end is there."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if (record := consumer.poll(0.2)) is not None:
            error = record.error()
            return "" if error is None or error.name() == "_PARTITION_EOF" else error.name()
    raise TimeoutError("neither a record nor an error")


def read(stack: Stack, user: str, topic: str) -> str:
    """Return what a read of a partition ends with, by hand: the group is never joined."""
    group = stack.names.group(user)
    consumer = Consumer(client(stack, user, **{"group.id": group, "enable.partition.eof": "true"}))
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return polled(consumer)
    finally:
        consumer.close()


def joined(stack: Stack, user: str, topic: str, group: str) -> str:
    """Return what joining a group ends with."""
    consumer = Consumer(
        client(stack, user, **{"group.id": group, "enable.partition.eof": "true", "auto.offset.reset": "earliest"})
    )
    consumer.subscribe([topic])
    try:
        return polled(consumer)
    finally:
        consumer.close()


@asynccontextmanager
async def connected(stack: Stack, database: str, role: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(stack.postgres_dsn(database, role))
    try:
        yield connection
    finally:
        await connection.close()


def test_a_service_writes_its_own_topics_and_reads_what_it_consumes(namespaced_stack: Stack) -> None:
    names = namespaced_stack.names
    assert produced(namespaced_stack, "inventory", names.topic("orders.stock")) == ""
    assert produced(namespaced_stack, "inventory", names.topic("inventory.dead-letters")) == ""
    assert joined(namespaced_stack, "inventory", names.topic("orders"), names.group("inventory")) == ""
    assert began(namespaced_stack, "inventory", names.transactional_id("inventory", "1")) == ""
    assert began(namespaced_stack, "inventory", names.transactional_id("inventory", "relay")) == ""


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("fulfillment", "orders.billing"),
        ("auditor", "orders"),
    ],
)
def test_a_user_is_refused_to_write_what_is_anothers(namespaced_stack: Stack, user: str, topic: str) -> None:
    refused = produced(namespaced_stack, user, namespaced_stack.names.topic(topic))
    assert refused == "TOPIC_AUTHORIZATION_FAILED"


def test_a_service_is_refused_to_read_what_it_does_not_consume(namespaced_stack: Stack) -> None:
    names = namespaced_stack.names
    refused = joined(namespaced_stack, "fulfillment", names.topic("orders.billing"), names.group("fulfillment"))
    assert refused == "TOPIC_AUTHORIZATION_FAILED"


def test_another_services_transactional_id_is_refused(namespaced_stack: Stack) -> None:
    foreign = namespaced_stack.names.transactional_id("accounting", "1")
    assert began(namespaced_stack, "inventory", foreign) == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"


def test_another_services_group_is_refused(namespaced_stack: Stack) -> None:
    names = namespaced_stack.names
    refused = joined(namespaced_stack, "inventory", names.topic("orders"), names.group("accounting"))
    assert refused == "GROUP_AUTHORIZATION_FAILED"


def test_the_auditor_reads_every_topic(namespaced_stack: Stack) -> None:
    names = namespaced_stack.names
    refused = {topic.name: read(namespaced_stack, "auditor", names.topic(topic.name)) for topic in TOPICS}
    assert refused == {topic.name: "" for topic in TOPICS}


async def test_a_service_works_with_the_operators_tables_and_makes_none(namespaced_stack: Stack) -> None:
    async with connected(namespaced_stack, "fulfillment", "operator") as operator:
        await operator.execute("CREATE TABLE parcel (id bigint GENERATED BY DEFAULT AS IDENTITY, content text)")
        await operator.execute("CREATE SEQUENCE label")
    async with connected(namespaced_stack, "fulfillment", "fulfillment") as service:
        await service.execute("INSERT INTO parcel (content) VALUES ('tea')")
        await service.execute("UPDATE parcel SET content = 'cups'")
        assert await service.fetchval("SELECT content FROM parcel") == "cups"
        assert await service.fetchval("SELECT nextval('label')") == 1
        await service.execute("DELETE FROM parcel")
        for statement in ("CREATE TABLE mine (id int)", "CREATE TEMPORARY TABLE mine (id int)", "TRUNCATE parcel"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)


async def test_the_auditor_reads_every_database_and_writes_none(namespaced_stack: Stack) -> None:
    async with connected(namespaced_stack, "accounting", "operator") as operator:
        await operator.execute("CREATE TABLE charge (id int)")
    async with connected(namespaced_stack, "accounting", "auditor") as auditor:
        assert await auditor.fetchval("SELECT count(*) FROM charge") == 0
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await auditor.execute("DELETE FROM charge")
        await auditor.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await auditor.execute("DELETE FROM charge")


async def test_a_transaction_of_a_service_ends_by_itself(namespaced_stack: Stack) -> None:
    async with connected(namespaced_stack, "inventory", "inventory") as service:
        assert await service.fetchval("SHOW transaction_timeout") == "5s"
        assert await service.fetchval("SHOW idle_in_transaction_session_timeout") == "3s"
