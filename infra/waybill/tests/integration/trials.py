"""Tries what a Kafka user may do, one real request a right: a broker authorizes a request before it looks into it.

Each request is one that changes nothing even where it is allowed, but for a record more in a topic.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    AlterPartitionReassignmentsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    ListPartitionReassignmentsRequest,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest
from aiokafka.protocol.types import Array, Schema
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from waybill.stack import Stack

TIMEOUT_MS = 5_000
OF_TOPIC, OF_BROKER = 2, 4  # resources that have a configuration
OF_TRANSACTION = 1
CLUSTER = "cluster"


class Cell(NamedTuple):
    """One right: a verb, and what it would be done to."""

    verb: str
    kind: str
    name: str


# …_AUTHORIZATION_FAILED; who may not create topics at all is told so topic by topic
REFUSALS = {"topic": {29}, "group": {30}, CLUSTER: {31, 29}, "transactional id": {53}}
VERBS = {
    "topic": ("write", "read", "describe", "delete", "alter", "describe configs of", "alter configs of"),
    "group": ("read", "describe", "delete"),
    "transactional id": ("write", "describe"),
    CLUSTER: ("create", "alter", "describe", "describe configs of", "alter configs of"),
}


def cells(names: dict[str, Iterable[str]]) -> list[Cell]:
    """Return every right there is to these names, by kind."""
    return [Cell(verb, kind, name) for kind, each in names.items() for name in each for verb in VERBS[kind]]


def _batch() -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000,
    )
    builder.append(0, timestamp=None, key=b"trial", value=b"trial", headers=[])
    return bytes(builder.build())


def _of_topic(verb: str, name: str) -> Any:
    return {
        "write": lambda: ProduceRequest(None, -1, TIMEOUT_MS, [(name, [(0, _batch())])]),
        "read": lambda: FetchRequest(0, 0, 1, 0, [(name, [(0, 0, 1)])]),
        "describe": lambda: MetadataRequest([name]),
        "delete": lambda: DeleteRecordsRequest([(name, [(0, 0)])], TIMEOUT_MS),
        "alter": lambda: CreatePartitionsRequest([(name, (9, []))], TIMEOUT_MS, validate_only=True),
        "describe configs of": lambda: DescribeConfigsRequest([(OF_TOPIC, name, [])]),
        "alter configs of": lambda: AlterConfigsRequest([(OF_TOPIC, name, [])], validate_only=True),
    }[verb]()


def _of_group(verb: str, name: str) -> Any:
    return {
        "read": lambda: HeartbeatRequest(name, -1, ""),
        "describe": lambda: DescribeGroupsRequest([name]),
        "delete": lambda: DeleteGroupsRequest([name]),
    }[verb]()


def _of_transactional_id(verb: str, name: str) -> Any:
    return {
        "write": lambda: AddOffsetsToTxnRequest(name, -1, -1, "nobody's"),
        "describe": lambda: FindCoordinatorRequest(name, OF_TRANSACTION),
    }[verb]()


def _of_cluster(verb: str, _: str) -> Any:
    return {
        "create": lambda: CreateTopicsRequest([("invented", 1, 1, [], [])], TIMEOUT_MS, validate_only=True),
        "alter": lambda: AlterPartitionReassignmentsRequest(TIMEOUT_MS, [], {}),
        "describe": lambda: ListPartitionReassignmentsRequest(TIMEOUT_MS, [], {}),
        "describe configs of": lambda: DescribeConfigsRequest([(OF_BROKER, "1", [])]),
        "alter configs of": lambda: AlterConfigsRequest([(OF_BROKER, "1", [])], validate_only=True),
    }[verb]()


REQUESTS = {
    "topic": _of_topic,
    "group": _of_group,
    "transactional id": _of_transactional_id,
    CLUSTER: _of_cluster,
}


@asynccontextmanager
async def connected(stack: Stack, **changes: Any) -> AsyncIterator[AIOKafkaConnection]:
    """Connect to the first broker."""
    host, _, port = stack.kafka_bootstrap.partition(",")[0].rpartition(":")
    options = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "request_timeout_ms": 10_000}
    context = ssl.create_default_context(cafile=str(stack.kafka_ca))
    connection = await create_conn(host, int(port), ssl_context=context, **options | changes)
    try:
        yield connection
    finally:
        connection.close()


async def allowed(stack: Stack, user: str, tried: Iterable[Cell]) -> set[Cell]:
    """Return what a logical user was not refused."""
    tried = list(tried)
    name = stack.names.user(user)
    who = {"sasl_plain_username": name, "sasl_plain_password": stack.secret(f"kafka-{name}")}
    async with connected(stack, **who) as connection:
        requests = [REQUESTS[cell.kind](cell.verb, cell.name) for cell in tried]
        answers = await asyncio.gather(*(connection.send(request) for request in requests))
    codes = (set(_codes(answer.SCHEMA, answer)) for answer in answers)
    return {cell for cell, told in zip(tried, codes, strict=True) if not REFUSALS[cell.kind] & told}


def _codes(schema: Schema, answer: Any) -> Iterator[int]:
    """Return every error code in an answer, wherever it stands."""
    for place, (name, kind) in enumerate(zip(schema.names, schema.fields, strict=True)):
        value = answer[place] if isinstance(answer, tuple) else answer.get_item(name)
        if name.endswith("error_code"):
            yield value
        elif isinstance(kind, Array) and isinstance(kind.array_of, Schema):
            for each in value or ():
                yield from _codes(kind.array_of, each)
