"""The audit's own reading of bytes: partitions, schemas, digests."""

import io
import json
from typing import Any

import fastavro
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from waybill.audit.decoding import (
    Schema,
    decode,
    digest,
    fetch_schemas,
    letter_of,
    redrive_of,
    schema_id_of,
    without_logical_types,
)
from waybill.audit.evidence import Place
from waybill.audit.finding import Finding, Violation
from waybill.audit.kafka import Raw
from waybill.audit.murmur import murmur2, partition_of
from waybill.audit.redriven import Letter, Redrive
from waybill.audit.report import MOST_VIOLATIONS, Line

PLACE = Place("orders", 1, 7)
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Noted",
    "namespace": "waybill",
    "fields": [
        {"name": "order_id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    ],
}


def encoded(fields: dict[str, Any], schema_id: int = 5) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(without_logical_types(SCHEMA)), fields)
    return b"\0" + schema_id.to_bytes(4, "big") + body.getvalue()


SCHEMAS = {5: Schema("Noted", fastavro.parse_schema(without_logical_types(SCHEMA)))}


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # the values of Kafka's own test of its hash
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_hash_as_kafkas_partitioner_does(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_a_partition_is_never_negative() -> None:
    assert partition_of(b"21", 3) == (-973932308 & 0x7FFFFFFF) % 3


def test_an_event_is_decoded_with_plain_values() -> None:
    headers = {"ce_id": b"e1", "ce_causationid": b"e0"}
    raw = Raw(PLACE, b"k", encoded({"order_id": "4b8f", "at": 12}), headers)

    record = decode(raw, SCHEMAS)

    assert (record.event_type, record.event_id, record.cause) == ("Noted", "e1", "e0")
    assert record.fields == {"order_id": "4b8f", "at": 12}
    assert record.digest == digest(b"k", raw.value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"not Avro at all",
        encoded({"order_id": "o", "at": None})[:-1],
        encoded({"order_id": "o", "at": None}) + b"!",
        encoded({"order_id": "o", "at": None}, schema_id=6),
    ],
)
def test_what_can_not_be_decoded_has_no_fields(value: bytes | None) -> None:
    assert decode(Raw(PLACE, None, value, {}), SCHEMAS | {6: None}).fields == {}


NO_RECORDS = {
    "protobuf": 'syntax = "proto3"; message Noted { string order_id = 1; }',
    "a JSON schema": '{"type": "object", "title": "Noted", "properties": {}}',
    "text": '"string"',
    "a union": json.dumps(["null", SCHEMA]),
    "an enum": '{"type": "enum", "name": "Noted", "symbols": ["YES"]}',
    "no name": '{"type": "record", "fields": []}',
    "a field without a type": '{"type": "record", "name": "Noted", "fields": [{"name": "order_id"}]}',
    "an unknown type": '{"type": "record", "name": "Noted", "fields": [{"name": "cup", "type": "Cup"}]}',
    "fields that are none": '{"type": "record", "name": "Noted", "fields": 7}',
    "nothing": "",
}


async def test_a_schema_that_is_no_avro_record_is_none_and_hides_no_other() -> None:
    known = dict(enumerate([json.dumps(SCHEMA), *NO_RECORDS.values()], start=5))

    async def answer(request: web.Request) -> web.Response:
        schema = known.get(int(request.match_info["id"]))
        return web.json_response({"schema": schema}) if schema is not None else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/schemas/ids/{id}", answer)
    records = [Raw(PLACE, None, b"\0" + schema_id.to_bytes(4, "big"), {}) for schema_id in (*known, 99)]
    async with TestServer(app) as registry:
        found = await fetch_schemas(str(registry.make_url("")), records)

    assert found == SCHEMAS | dict.fromkeys(range(6, 6 + len(NO_RECORDS))) | {99: None}


def test_only_the_wire_format_names_a_schema() -> None:
    assert schema_id_of(b"\0\0\0\1\2rest") == 258
    assert schema_id_of(b"\1\0\0\1\2rest") is None


@pytest.mark.parametrize(("days", "outlived"), [(0.0, False), (43.9, False), (44.1, True)])
def test_a_record_tells_whether_it_is_older_than_claims_are_kept(days: float, *, outlived: bool) -> None:
    assert decode(Raw(PLACE, b"k", b"v", {}, days * 86_400), {}).outlived is outlived


def test_a_dead_letter_names_the_record_that_it_buries() -> None:
    headers = {"dlq_topic": b"orders.stock", "dlq_partition": b"2", "dlq_offset": b"40", "dlq_event_id": b"e1"}

    letter = letter_of("inventory", Raw(PLACE, b"k", b"v", headers))

    assert letter == Letter("inventory", Place("orders.stock", 2, 40), "e1", digest(b"k", b"v"))


REDRIVEN = {"redrive_group": b"inventory", "redrive_event_id": b"e1", "redrive_attempt": b"0"}


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"ce_id": b"e1", **REDRIVEN}, Redrive("inventory", "e1")),
        ({**REDRIVEN, "ce_id": b"e1"}, None),
        ({"ce_id": b"e1", **REDRIVEN, "redrive_attempt": b"first"}, None),
        ({"ce_id": b"e1", **REDRIVEN, "redrive_attempt": b"3000000000"}, None),
        ({"ce_id": b"e1", **REDRIVEN, "redrive_event_id": b"a\0b"}, None),
        ({"ce_id": b"e1"}, None),
    ],
    ids=["its last headers", "not the last", "no attempt", "no attempt that a claim holds", "no id", "none"],
)
def test_a_redriven_record_says_so_in_its_last_headers(headers: dict[str, bytes], said: Redrive | None) -> None:
    assert redrive_of(Raw(PLACE, b"k", b"v", headers)) == said


def test_a_line_lists_a_bounded_number_of_violations_and_their_total() -> None:
    line = Line.of(Finding("1", "name", 100, [Violation(str(each), "gone") for each in range(MOST_VIOLATIONS + 7)]))

    assert line.ok is False
    assert len(line.violations) == MOST_VIOLATIONS
    assert line.violations_total == MOST_VIOLATIONS + 7
