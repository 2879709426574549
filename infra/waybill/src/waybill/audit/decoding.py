"""Decodes records by itself: schemas from the registry by id, Avro by fastavro, no class of the contracts."""

import asyncio
import io
import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import fastavro
from aiohttp import ClientError, ClientSession

from waybill.audit.evidence import Place, Record
from waybill.audit.kafka import Raw
from waybill.audit.redriven import Letter, Redrive
from waybill.errors import UsageError

WIRE_HEADER = 5
UNKNOWN_SCHEMA = 404
LONGEST_ID, MOST_DIGITS = 200, 9
CLAIMS_KEPT_S = 44 * 86_400.0  # for 45 days, but not to the second
REDRIVE_HEADERS = ("redrive_group", "redrive_event_id", "redrive_attempt")


class Schema(NamedTuple):
    """A writer's schema: the event type that it stands for, and how to read it."""

    event_type: str
    parsed: Any


Schemas = Mapping[int, Schema | None]


async def fetch_schemas(registry_url: str, records: Iterable[Raw]) -> Schemas:
    """Return the schemas that these records name, by id; None where the registry knows none, or no Avro record's.

    UsageError: the registry does not answer.
    """
    ids = {schema_id for record in records if (schema_id := schema_id_of(record.value)) is not None}
    try:
        async with ClientSession() as session:
            schemas = await asyncio.gather(*(_schema(session, f"{registry_url}/schemas/ids/{each}") for each in ids))
    except (ClientError, OSError) as error:
        raise UsageError(f"the schema registry can't be read: {error}; see `waybill status`") from error
    return dict(zip(ids, schemas, strict=True))


async def _schema(session: ClientSession, url: str) -> Schema | None:
    async with session.get(url) as answer:
        if answer.status == UNKNOWN_SCHEMA:
            return None
        answer.raise_for_status()
        body = await answer.json(content_type=None)
    return _schema_of(body["schema"])


def _schema_of(said: str) -> Schema | None:
    try:
        plain = without_logical_types(json.loads(said))
        parsed = fastavro.parse_schema(plain)
    except Exception:  # noqa: BLE001  # whatever a foreign schema does to the parser: nobody can read with it
        return None
    is_record = isinstance(plain, dict) and plain.get("type") == "record"
    return Schema(plain["name"], parsed) if is_record else None


def without_logical_types(schema: Any) -> Any:
    """Return a schema whose UUIDs stay text and whose instants stay microseconds."""
    if isinstance(schema, list):
        return [without_logical_types(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: without_logical_types(value) for key, value in schema.items() if key != "logicalType"}


def schema_id_of(value: bytes | None) -> int | None:
    """Return the schema id of a value in Confluent's wire format, None for any other value."""
    if value is None or len(value) < WIRE_HEADER or value[0] != 0:
        return None
    return int.from_bytes(value[1:WIRE_HEADER], "big")


def decode(raw: Raw, schemas: Schemas) -> Record:
    """Return a record with its event's fields; with none where it can't be decoded."""
    schema = schemas.get(schema_id_of(raw.value) or 0)
    fields = _fields(raw.value or b"", schema) if schema else {}
    return Record(
        place=raw.place,
        key=raw.key or b"",
        event_id=event_id_of(raw),
        event_type=schema.event_type if schema else "",
        cause=_text(raw, "ce_causationid"),
        digest=digest(raw.key, raw.value),
        fields=fields,
        redrive=redrive_of(raw),
        outlived=raw.age_s > CLAIMS_KEPT_S,
    )


def event_id_of(raw: Raw) -> str:
    """Return the id that a record says its event has, or nothing."""
    return _text(raw, "ce_id")


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """Return SHA-256 over the key's length (four bytes, big endian), the key and the value."""
    key = key or b""
    return sha256(len(key).to_bytes(4, "big") + key + (value or b"")).digest()


def letter_of(group: str, raw: Raw) -> Letter:
    """Return a group's dead letter; one that does not say whose place it is about is about its own."""
    try:
        source = Place(_text(raw, "dlq_topic"), int(_text(raw, "dlq_partition")), int(_text(raw, "dlq_offset")))
    except ValueError:
        source = raw.place
    return Letter(group, source, _text(raw, "dlq_event_id"), digest(raw.key, raw.value))


def redrive_of(raw: Raw) -> Redrive | None:
    """Return which dead letter a record repeats, as its last headers say. None: it came by itself."""
    if tuple(raw.headers)[-len(REDRIVE_HEADERS) :] != REDRIVE_HEADERS:
        return None
    event_id, attempt = _text(raw, "redrive_event_id"), _text(raw, "redrive_attempt")
    if not 0 < len(event_id) <= LONGEST_ID or "\0" in event_id or not attempt.isdecimal() or len(attempt) > MOST_DIGITS:
        return None
    return Redrive(_text(raw, "redrive_group"), event_id)


def _text(raw: Raw, name: str) -> str:
    return raw.headers.get(name, b"").decode(errors="replace")


def _fields(value: bytes, schema: Schema) -> Mapping[str, Any]:
    body = io.BytesIO(value[WIRE_HEADER:])
    try:
        fields: Any = fastavro.schemaless_reader(body, schema.parsed, None)
    except (ValueError, EOFError, LookupError, TypeError, OverflowError, MemoryError):
        return {}
    return {} if body.read(1) else fields
