"""Two requests that aiokafka 0.14 has only in versions without fencing (KIP-447).

TxnOffsetCommit v3 carries the group's generation, so that a zombie is refused; OffsetFetch v7 can ask for stable
offsets only. Layouts: the Kafka protocol guide.
"""

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

TXN_OFFSET_COMMIT = 28
OFFSET_FETCH = 9
NO_LEADER_EPOCH = -1
NO_TAGS: dict[int, bytes] = {}
TEXT = CompactString("utf-8")


class _TxnOffsetCommitResponse(Response):
    API_KEY = TXN_OFFSET_COMMIT
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "errors",
            CompactArray(
                ("topic", TEXT),
                ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TxnOffsetCommitStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = TXN_OFFSET_COMMIT
    API_VERSION = 3
    RESPONSE_TYPE = _TxnOffsetCommitResponse
    SCHEMA = Schema(
        ("transactional_id", TEXT),
        ("group_id", TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", TEXT),
        ("group_instance_id", TEXT),
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", TEXT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommit(Request[_TxnOffsetCommitStruct]):
    """Commit offsets in a transaction, as a certain member in a certain generation of the group."""

    API_KEY = TXN_OFFSET_COMMIT

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[_TxnOffsetCommitStruct]) -> _TxnOffsetCommitStruct:
        """Fill the request; `topics` is {topic: [(partition, offset)]}."""
        topics = [
            (topic, [(number, offset, NO_LEADER_EPOCH, "", NO_TAGS) for number, offset in places], NO_TAGS)
            for topic, places in self._fields["topics"].items()
        ]
        return request_struct_class(**{**self._fields, "topics": topics, "group_instance_id": None, "tags": NO_TAGS})


class _OffsetFetchResponse(Response):
    API_KEY = OFFSET_FETCH
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", TEXT),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetFetchStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = OFFSET_FETCH
    API_VERSION = 7
    RESPONSE_TYPE = _OffsetFetchResponse
    SCHEMA = Schema(
        ("group_id", TEXT),
        ("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class StableOffsetFetch(Request[_OffsetFetchStruct]):
    """Fetch committed offsets; while a transactional commit is pending the answer is UNSTABLE_OFFSET_COMMIT."""

    API_KEY = OFFSET_FETCH

    def __init__(self, group: str, topics: dict[str, list[int]]) -> None:
        self._group = group
        self._topics = topics

    def build(self, request_struct_class: type[_OffsetFetchStruct]) -> _OffsetFetchStruct:
        """Fill the request."""
        topics = [(topic, numbers, NO_TAGS) for topic, numbers in self._topics.items()]
        require_stable = True
        return request_struct_class(self._group, topics, require_stable, NO_TAGS)
