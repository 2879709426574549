"""Asks a broker what our user may do, before anything depends on it; nothing is changed, nobody is fenced.

Topics: Metadata v8 tells the operations that are allowed (KIP-430). Groups and transactional ids: a broker authorizes a
request before it looks at the member or the producer in it, so that those of nobody get the verdict and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import AuthenticationFailedError, KafkaError, SaslAuthenticationFailed
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from exactly_once.errors import NotPermitted, Retryable
from exactly_once.kafka.settings import PRODUCER_REQUEST_TIMEOUT_MS, START_DEADLINE_S, KafkaSettings
from exactly_once.needs import Needs

METADATA = 3
READ, WRITE = 1 << 3, 1 << 4  # bits of Kafka's AclOperation
TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED, TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 29, 30, 53
NO_PRODUCER, NO_EPOCH, NO_GENERATION, NOBODY = -1, -1, -1, ""
TEXT = String("utf-8")


class _MetadataResponse(Response):
    API_KEY = METADATA
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT))),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataStruct(RequestStruct):
    API_KEY = METADATA
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class AuthorizedOperations(Request[_MetadataStruct]):
    """Ask what we may do with topics."""

    API_KEY = METADATA

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        """Fill the request."""
        return request_struct_class(self._topics, False, False, True)  # noqa: FBT003  # its fields have no names here


async def check_permissions(settings: KafkaSettings, needs: Needs) -> None:
    """Return if our user may do all that is needed.

    NotPermitted names in one sentence what it may not do, or that the brokers refuse its password. Retryable: no
    broker answers, or a topic is not there.
    """
    try:
        async with asyncio.timeout(START_DEADLINE_S), _connected(settings) as connection:
            refused = [
                *await _topics_refused(connection, settings.prefix, needs),
                *await _ids_refused(connection, settings.prefix, needs),
            ]
    except (KafkaError, TimeoutError, OSError) as error:
        raise Retryable(f"no broker tells what user {settings.user} may do: {error!r}") from error
    if refused:
        raise NotPermitted(f"as Kafka user {settings.user} it may not {', '.join(refused)}")


@asynccontextmanager
async def _connected(settings: KafkaSettings) -> AsyncIterator[AIOKafkaConnection]:
    """Connect to the first broker that lets us in. NotPermitted: none does, and one refuses this user's password."""
    failure: Exception | None = None
    refused: NotPermitted | None = None
    for address in settings.bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        options = settings.client_options(f"{settings.user}.permissions")
        options = {name: value for name, value in options.items() if name != "bootstrap_servers"}
        try:
            connection = await create_conn(host, int(port), request_timeout_ms=PRODUCER_REQUEST_TIMEOUT_MS, **options)
        except (AuthenticationFailedError, SaslAuthenticationFailed) as error:
            refused = NotPermitted(f"Kafka refuses user {settings.user}: {error}")
            continue
        except (KafkaError, OSError) as error:
            failure = error
            continue
        try:
            yield connection
        finally:
            connection.close()
        return
    raise refused or Retryable(f"no broker at {settings.bootstrap} answers user {settings.user}: {failure!r}")


async def _topics_refused(connection: AIOKafkaConnection, prefix: str, needs: Needs) -> list[str]:
    answer: Any = await connection.send(AuthorizedOperations(sorted(prefix + it for it in needs.reads | needs.writes)))
    told = {topic: (code, allowed) for code, topic, _, _, allowed in answer.topics}
    wanted = [("read", READ, topic) for topic in sorted(needs.reads)]
    wanted += [("write", WRITE, topic) for topic in sorted(needs.writes)]
    return list(_refused(told, [(verb, bit, prefix + topic) for verb, bit, topic in wanted]))


def _refused(told: dict[str, tuple[int, int]], wanted: list[tuple[str, int, str]]) -> Iterator[str]:
    for verb, bit, topic in wanted:
        code, allowed = told[topic]
        if code not in {0, TOPIC_AUTHORIZATION_FAILED}:
            raise Retryable(f"there is no topic {topic} yet (error {code})")
        if code or not allowed & bit:
            yield f"{verb} topic {topic}"


async def _ids_refused(connection: AIOKafkaConnection, prefix: str, needs: Needs) -> list[str]:
    group, refused = prefix + needs.name, []
    if needs.joins:
        beat: Any = await connection.send(HeartbeatRequest(group, NO_GENERATION, NOBODY))
        if beat.error_code == GROUP_AUTHORIZATION_FAILED:
            refused.append(f"read group {group}")
    for transactional_id in sorted(f"{group}.{instance}" for instance in needs.instances):
        request = AddOffsetsToTxnRequest(transactional_id, NO_PRODUCER, NO_EPOCH, group)
        added: Any = await connection.send(request)
        if added.error_code == TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            refused.append(f"write transactional id {transactional_id}")
    return refused
