"""What travels around an event: CloudEvents headers in binary mode, ids, the digest of a record."""

import datetime as dt
import json
import time
import uuid
from functools import lru_cache
from hashlib import sha1, sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import NamedTuple

Headers = tuple[tuple[str, bytes | None], ...]  # a header of a foreign producer may have no value

ID = "ce_id"
TYPE = "ce_type"
SOURCE = "ce_source"
TIME = "ce_time"
CORRELATION_ID = "ce_correlationid"
CAUSATION_ID = "ce_causationid"
TRACEPARENT = "traceparent"
MAX_ID_LENGTH = 200

# What a dead letter says of the record it holds: behind the record's own headers, in this order.
DLQ_TOPIC = "dlq_topic"
DLQ_PARTITION = "dlq_partition"
DLQ_OFFSET = "dlq_offset"
DLQ_TIMESTAMP_MS = "dlq_timestamp_ms"
DLQ_GROUP = "dlq_group"
DLQ_EVENT_ID = "dlq_event_id"
DLQ_ATTEMPT = "dlq_attempt"
DLQ_KIND = "dlq_kind"
DLQ_WHY = "dlq_why"
DLQ_AT = "dlq_at"
DLQ_HEADERS = (
    DLQ_TOPIC,
    DLQ_PARTITION,
    DLQ_OFFSET,
    DLQ_TIMESTAMP_MS,
    DLQ_GROUP,
    DLQ_EVENT_ID,
    DLQ_ATTEMPT,
    DLQ_KIND,
    DLQ_WHY,
    DLQ_AT,
)

# What a redriven record says of the dead letter it repeats: behind the original headers, in this order.
REDRIVE_GROUP = "redrive_group"
REDRIVE_EVENT_ID = "redrive_event_id"
REDRIVE_ATTEMPT = "redrive_attempt"
REDRIVE_HEADERS = (REDRIVE_GROUP, REDRIVE_EVENT_ID, REDRIVE_ATTEMPT)

_OUTPUT_IDS = uuid.UUID("5d2c9a37-6b1e-5f0c-9d84-3a0e6c1b7f42").bytes
_VARIANT = "89ab"  # two bits of this digit of a UUID are not drawn


class Provenance(NamedTuple):
    """Where an event comes from: its own id, the journey it belongs to, its direct parent, its trace."""

    event_id: str
    correlation_id: str
    causation_id: str
    traceparent: str = ""


def shared_headers(event_type: str, source: str) -> Headers:
    """Return the CloudEvents headers that all events of a type from one source have in common."""
    return (
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/avro"),
        (TYPE, event_type.encode()),
        (SOURCE, source.encode()),
    )


def headers_of(shared: Headers, provenance: Provenance) -> Headers:
    """Return the CloudEvents headers of an event that happens now, to the millisecond."""
    optional = ((TRACEPARENT, provenance.traceparent.encode()),) if provenance.traceparent else ()
    return (
        *shared,
        (ID, provenance.event_id.encode()),
        (TIME, _instant(time.time_ns() // 1_000_000)),
        (CORRELATION_ID, provenance.correlation_id.encode()),
        (CAUSATION_ID, provenance.causation_id.encode()),
        *optional,
    )


@lru_cache(1)  # a batch's events happen within few milliseconds, and to write one takes longer than all the rest
def _instant(ms: int) -> bytes:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat(timespec="milliseconds").encode()


def text_header(headers: Headers, name: str) -> str:
    """Return a header as text, empty where it is missing; bytes that are no UTF-8 are replaced."""
    for key, value in headers:  # a loop: four times as fast as a generator, and each record is asked four times
        if key == name and value is not None:
            return value.decode(errors="replace")
    return ""


def id_header(headers: Headers, name: str) -> str:
    """Return a header that is an id, empty where it is none: missing, too long, or with a zero byte."""
    text = text_header(headers, name)
    return text if len(text) <= MAX_ID_LENGTH and "\0" not in text else ""


def output_id(group: str, cause: str, index: int) -> str:
    """Return the id of the n-th output of a group for an event: the same on every attempt, another in every group.

    It is what `uuid.uuid5` returns, which takes three times as long.
    """
    drawn = sha1(_OUTPUT_IDS + f"{group}/{cause}/{index}".encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANT[int(drawn[16], 16) % 4]
    return f"{drawn[:8]}-{drawn[8:12]}-5{drawn[13:16]}-{variant}{drawn[17:20]}-{drawn[20:32]}"


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """Return the SHA-256 over the key's length (4 bytes, big endian), the key and the value of a record."""
    key = key or b""
    return sha256(len(key).to_bytes(4, "big") + key + (value or b"")).digest()


def pack_headers(headers: Headers) -> bytes:
    """Pack headers into one column: JSON of pairs, values as Latin-1 so that any byte survives, null for none."""
    # put together here, of strings that the json module quotes: its encoder takes twice as long
    pairs = [
        f"[{quoted(name)},{'null' if value is None else quoted(value.decode('latin-1'))}]" for name, value in headers
    ]
    return f"[{','.join(pairs)}]".encode()


def unpack_headers(packed: bytes) -> Headers:
    """Return what `pack_headers` packed."""
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in json.loads(packed))
