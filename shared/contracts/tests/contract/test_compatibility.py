"""What was ever written can be read, and what is written now can be read by who has not been updated."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from pydantic import BaseModel

from contracts import CONSUMES, EVENTS
from exactly_once import Event

HERE = Path(__file__).parent
RECORDINGS = sorted((HERE / "recorded").glob("*.json"))
BY_NAME = {event.__name__: event for event in EVENTS}


def opened(file: Path) -> tuple[type[Event], dict[str, Any]]:
    return BY_NAME[file.name.split(".", maxsplit=1)[0]], json.loads(file.read_text())


def encoded(event: BaseModel, schema: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), event.model_dump())
    return body.getvalue()


def decoded(value: bytes, writer: dict[str, Any], reader: dict[str, Any]) -> Any:
    body = io.BytesIO(value)
    fields = fastavro.schemaless_reader(body, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
    assert not body.read(), "bytes are left over"
    return fields


def test_every_event_is_recorded() -> None:
    assert {file.name.split(".", maxsplit=1)[0] for file in RECORDINGS} == set(BY_NAME)


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_a_reader_of_today_reads_what_was_recorded(file: Path) -> None:
    event_type, recording = opened(file)
    fields = decoded(bytes.fromhex(recording["value"]), recording["schema"], event_type.avro_schema())
    assert event_type.model_validate(fields) == event_type.model_validate_json(json.dumps(recording["event"]))


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_a_reader_of_then_reads_what_is_written_today(file: Path) -> None:
    event_type, recording = opened(file)
    event = event_type.model_validate_json(json.dumps(recording["event"]))
    today = event_type.avro_schema()
    then = decoded(encoded(event, today), today, recording["schema"])
    assert then == decoded(bytes.fromhex(recording["value"]), recording["schema"], recording["schema"])


@pytest.mark.parametrize("event_type", EVENTS, ids=lambda event: event.__name__)
def test_the_schema_is_the_one_that_was_reviewed(event_type: type[Event]) -> None:
    reviewed = json.loads((HERE / "schemas" / f"{event_type.__name__}.avsc").read_text())
    assert event_type.avro_schema() == reviewed, f"if this is meant, run {HERE / 'record.py'} and review the change"


def test_no_snapshot_is_left_of_an_event_that_is_gone() -> None:
    assert {file.stem for file in (HERE / "schemas").iterdir()} == set(BY_NAME)


def test_who_consumes_what_is_as_the_saga_says() -> None:
    consumed = {service: sorted(event.__name__ for event in handled) for service, handled in CONSUMES.items()}
    assert consumed == {
        "checkout": [
            "CancellationRefused",
            "PaymentCaptured",
            "ProductListed",
            "ShipmentCancelled",
            "ShipmentDispatched",
            "StockRejected",
            "StockReleased",
            "StockReserved",
        ],
        "inventory": [
            "ExpireReservation",
            "OrderPlaced",
            "PaymentCaptured",
            "PaymentDeclined",
            "ShipmentCancelled",
            "ShipmentDispatched",
        ],
        "accounting": [
            "AllocationFailed",
            "ChargePayment",
            "OrderPlaced",
            "RefundPayment",
            "ShipmentCancelled",
            "StockReleased",
            "StockReserved",
        ],
        "fulfillment": ["OrderCancelled", "StockAllocated"],
    }
