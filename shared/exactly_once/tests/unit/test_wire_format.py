"""What is stored and what is on the wire, byte for byte: an older process, or a later one, must find the same."""

import datetime as dt
import io
import json
import uuid

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from exactly_once import Codec, Event
from exactly_once.batch import Partition, Record
from exactly_once.codec import WIRE_HEADER
from exactly_once.envelope import Headers, Provenance, output_id, pack_headers
from exactly_once.testing import MemorySchemas

OUTPUT_IDS = uuid.UUID("5d2c9a37-6b1e-5f0c-9d84-3a0e6c1b7f42")
HEADERS = st.lists(st.tuples(st.text(), st.none() | st.binary())).map(tuple)


class Price(Event):
    minor: int


class CupPainted(Event, topic="cups", key="cup"):
    cup: uuid.UUID
    prices: list[Price]
    note: str | None = None


class CupGlazed(Event, topic="cups", key="cup"):
    cup: uuid.UUID


CUP = uuid.UUID("c0ffee00-0000-4000-8000-000000000001")


async def codec(schemas: MemorySchemas | None = None) -> Codec:
    registry = schemas or MemorySchemas()
    return await Codec.open(registry, "/pottery", emits=[CupPainted, CupGlazed], handles=[CupPainted], prefix="")


@given(group=st.text(), cause=st.text(), index=st.integers(0, 10))
def test_the_id_of_an_output_is_a_uuid_of_version_5(group: str, cause: str, index: int) -> None:
    assert output_id(group, cause, index) == str(uuid.uuid5(OUTPUT_IDS, f"{group}/{cause}/{index}"))


def test_the_id_of_an_output_is_for_ever() -> None:
    assert output_id("inventory", "1d3e", 0) == "c169c41f-a815-5d2f-92b8-a7f05ce19c9f"


@given(HEADERS)
def test_headers_are_packed_as_the_json_module_writes_them(headers: Headers) -> None:
    pairs = [[name, None if value is None else value.decode("latin-1")] for name, value in headers]
    assert pack_headers(headers) == json.dumps(pairs, separators=(",", ":")).encode()


async def test_an_event_has_these_bytes_and_headers() -> None:
    event = CupPainted(cup=CUP, prices=[Price(minor=-1), Price(minor=300)], note="ö")
    before = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=1)
    encoded = (await codec()).encode(event, Provenance("id-2", "journey-ö", "id-1", "00-ab-cd-01"))
    fields = b"\x48" + str(CUP).encode() + b"\x04\x01\xd8\x04\x00" + b"\x02\x04\xc3\xb6"
    assert encoded[:3] == ("cups", str(CUP).encode(), b"\x00\x00\x00\x00\x01" + fields)
    at = dict(encoded.headers)["ce_time"] or b""
    assert before < dt.datetime.fromisoformat(at.decode()) <= dt.datetime.now(dt.UTC)
    assert encoded.headers == (
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/avro"),
        ("ce_type", b"CupPainted"),
        ("ce_source", b"/pottery"),
        ("ce_id", b"id-2"),
        ("ce_time", at),
        ("ce_correlationid", "journey-ö".encode()),
        ("ce_causationid", b"id-1"),
        ("traceparent", b"00-ab-cd-01"),
    )


async def test_what_was_encoded_is_decoded() -> None:
    both = await codec()
    event = CupPainted(cup=CUP, prices=[Price(minor=7)])
    encoded = both.encode(event, Provenance("id-2", "journey", "id-1"))
    record = Record(Partition("cups", 0), 5, 0, encoded.key, encoded.value, encoded.headers)
    await both.learn([record])
    entry = both.decode(record)
    assert (entry.event, entry.event_id, entry.rejection) == (event, "id-2", None)


async def test_what_was_written_by_another_schema_is_read_by_ours() -> None:
    schemas = MemorySchemas()
    both = await codec(schemas)
    theirs = CupPainted.avro_schema()
    theirs["fields"] = [theirs["fields"][0], {"name": "glaze", "type": "string"}, theirs["fields"][1]]
    buffer = io.BytesIO()
    buffer.write(WIRE_HEADER.pack(0, await schemas.id_of("", theirs)))
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(theirs), {"cup": CUP, "glaze": "shino", "prices": []})
    record = Record(Partition("cups", 0), 5, 0, str(CUP).encode(), buffer.getvalue(), (("ce_id", b"id-2"),))
    await both.learn([record])
    assert both.decode(record).event == CupPainted(cup=CUP, prices=[])


async def test_what_nobody_here_handles_has_its_id_or_else_its_coordinate() -> None:
    both = await codec()
    encoded = both.encode(CupGlazed(cup=CUP), Provenance("id-3", "journey", "id-1"))
    named = Record(Partition("cups", 0), 6, 0, encoded.key, encoded.value, encoded.headers)
    nameless = named._replace(headers=())
    await both.learn([named])
    entries = [both.decode(named), both.decode(nameless)]
    assert [entry.event_id for entry in entries] == ["id-3", "cups/0/6"]
    assert {(entry.event, entry.rejection) for entry in entries} == {(None, None)}
