"""Turns events into bytes and back: Confluent's wire format, Avro, schema ids from the registry."""

import asyncio
import io
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

import fastavro
from pydantic import TypeAdapter

from exactly_once.avro import full_name
from exactly_once.batch import Entry, Record, Redrive, Rejection
from exactly_once.edge import Schemas
from exactly_once.envelope import ID, Headers, Provenance, headers_of, id_header, shared_headers
from exactly_once.errors import RejectRecord, one_line
from exactly_once.event import Event
from exactly_once.redrive import redrive_of

MAGIC = 0
WIRE_HEADER = struct.Struct(">bI")
MAX_VALUE_BYTES = 900_000  # below the broker's message.max.bytes, so that a stored output can always be published


class Encoded(NamedTuple):
    """An event as Kafka gets it, still under its topic's logical name."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


# `event_of` and `fields_of` are pydantic's own: `model_validate` and `model_dump` take twice as long around them.
class _Reader(NamedTuple):
    event_of: Callable[[Any], Event] | None = None
    writer_schema: Any = None
    reader_schema: Any = None  # None where it is the writer's
    unusable: str | None = None


class _Writer(NamedTuple):
    wire_header: bytes
    schema: Any
    fields_of: Callable[[Event], Any]
    shared_headers: Headers


class Codec:
    """Encodes the events that a service emits, decodes those that it handles. Made by `Codec.open`."""

    def __init__(self, registry: Schemas, source: str, handles: Iterable[type[Event]]) -> None:
        self._registry = registry
        self._source = source
        self._handles = {full_name(event_type): event_type for event_type in handles}
        self._writers: dict[type[Event], _Writer] = {}
        self._readers: dict[int, _Reader | None] = {}

    @classmethod
    async def open(
        cls,
        registry: Schemas,
        source: str,
        *,
        emits: Iterable[type[Event]],
        handles: Iterable[type[Event]],
        prefix: str,
    ) -> Self:
        """Look up the ids of all schemas that will be written, so that no hot path asks the registry.

        `source` is the CloudEvents source, `prefix` the namespace's. Halted names a schema that is not registered.
        """
        codec = cls(registry, source, handles)
        await asyncio.gather(*(codec._prepare_writer(event_type, prefix) for event_type in emits))
        return codec

    async def _prepare_writer(self, event_type: type[Event], prefix: str) -> None:
        schema = event_type.avro_schema()
        subject = f"{prefix}{event_type.topic}-{full_name(event_type)}"
        wire_header = WIRE_HEADER.pack(MAGIC, await self._registry.id_of(subject, schema))
        fields_of = TypeAdapter(event_type).serializer.to_python
        headers = shared_headers(event_type.__name__, self._source)
        self._writers[event_type] = _Writer(wire_header, fastavro.parse_schema(schema), fields_of, headers)

    def encode(self, event: Event, provenance: Provenance) -> Encoded:
        """Encode an event. RejectRecord where it is larger than a record may be."""
        wire_header, schema, fields_of, shared = self._writers[type(event)]
        buffer = io.BytesIO()
        buffer.write(wire_header)
        fastavro.schemaless_writer(buffer, schema, fields_of(event))
        if buffer.tell() > MAX_VALUE_BYTES:
            raise RejectRecord(f"its {type(event).__name__} would take {buffer.tell()} bytes, more than a record may")
        return Encoded(event.topic, event.partition_key(), buffer.getvalue(), headers_of(shared, provenance))

    async def learn(self, records: Iterable[Record]) -> None:
        """Fetch the schemas that these records name and this codec has not seen. Retryable: no registry."""
        unknown = {wire_id(record.value) for record in records} - self._readers.keys() - {None}
        for schema_id, schema in zip(
            unknown, await asyncio.gather(*(self._registry.schema_of(i) for i in unknown if i is not None)), strict=True
        ):
            if schema_id is not None and schema is not None:  # an id that nobody knows may be registered later
                self._readers[schema_id] = self._reader(schema)

    def _reader(self, writer_schema: Any) -> _Reader:
        try:
            parsed: Any = fastavro.parse_schema(writer_schema)
        except Exception as error:  # noqa: BLE001  # whatever a foreign schema does to the parser: nobody can read with it
            return _Reader(unusable=f"its schema is no Avro: {one_line(error)}")
        event_type = self._handles.get(parsed.get("name", "")) if isinstance(parsed, dict) else None
        if event_type is None:
            return _Reader()
        ours = fastavro.parse_schema(event_type.avro_schema())
        return _Reader(TypeAdapter(event_type).validator.validate_python, parsed, None if ours == parsed else ours)

    def decode(self, record: Record) -> Entry:
        """Decode a record, never raising: what can't be decoded is an entry with a rejection.

        An entry without an event and without a rejection is of a type that this service does not handle.
        """
        redrive = redrive_of(record.headers)
        try:
            event = self._decode(record)
        except Exception as error:  # noqa: BLE001  # whatever bytes do to the decoder: they stay undecodable
            why = Rejection("undecodable", f"{type(error).__name__}: {one_line(error)}")
            return Entry(record, _own_id(record, redrive), None, why, redrive=redrive)
        event_id = id_header(record.headers, ID)
        if event is not None and not event_id:
            why = Rejection("undecodable", f"the header {ID} is missing, too long or holds a zero byte")
            return Entry(record, _own_id(record, redrive), None, why, redrive=redrive)
        return Entry(record, event_id or _own_id(record, redrive), event, redrive=redrive)

    def _decode(self, record: Record) -> Event | None:
        schema_id = wire_id(record.value)
        if record.value is None or schema_id is None:
            raise ValueError("the value is not in Confluent's wire format")
        reader = self._readers.get(schema_id)
        if reader is None:
            raise ValueError(f"the registry knows no schema {schema_id}")
        if reader.unusable is not None:
            raise ValueError(reader.unusable)
        if reader.event_of is None:
            return None
        body = io.BytesIO(record.value[WIRE_HEADER.size :])
        fields: Any = fastavro.schemaless_reader(body, reader.writer_schema, reader.reader_schema)
        if body.read(1):
            raise ValueError("bytes follow the event")
        event = reader.event_of(fields)
        if event.topic != record.source.topic or event.partition_key() != record.key:
            raise ValueError(f"a {type(event).__name__} with this key does not belong into {record.source.topic}")
        return event


def _own_id(record: Record, redrive: Redrive | None) -> str:
    """Return the id of a record that names none: where it lies, or the one under which it became a dead letter."""
    return redrive.event_id if redrive else f"{record.source.topic}/{record.source.partition}/{record.offset}"


def wire_id(value: bytes | None) -> int | None:
    """Return the schema id of a value in Confluent's wire format, None for anything else."""
    if value is None or len(value) < WIRE_HEADER.size or value[0] != MAGIC:
        return None
    schema_id: int = WIRE_HEADER.unpack_from(value)[1]
    return schema_id
