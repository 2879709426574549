"""The schema derived from an event."""

import datetime as dt
import enum
from uuid import UUID

import fastavro
import pytest
from pydantic import BaseModel

from exactly_once import Event


class Colour(enum.StrEnum):
    red = "red"
    blue = "blue"


class Price(BaseModel):
    minor: int


class Painted(Event, topic="walls", key="wall"):
    """Somebody painted a wall."""

    wall: str
    painting: UUID
    at: dt.datetime
    colour: Colour
    prices: list[Price]
    again: Price | None = None


def test_logical_types_carry_ids_and_instants() -> None:
    fields = {field["name"]: field["type"] for field in Painted.avro_schema()["fields"]}
    assert fields["painting"] == {"type": "string", "logicalType": "uuid"}
    assert fields["at"] == {"type": "long", "logicalType": "timestamp-micros"}
    assert fields["colour"] == {"type": "enum", "name": "Colour", "namespace": "waybill", "symbols": ["red", "blue"]}


def test_a_nested_record_is_named_once_and_referred_to_afterwards() -> None:
    fields = {field["name"]: field for field in Painted.avro_schema()["fields"]}
    assert fields["prices"]["type"]["items"]["name"] == "Price"
    assert fields["again"] == {"name": "again", "type": ["null", "waybill.Price"], "default": None}


def test_the_schema_is_one_that_avro_accepts() -> None:
    fastavro.parse_schema(Painted.avro_schema())


def test_a_field_without_an_avro_form_is_named() -> None:
    class Odd(Event, topic="walls", key="wall"):
        wall: str
        thing: complex

    with pytest.raises(TypeError, match=r"Odd\.thing"):
        Odd.avro_schema()


def test_a_key_that_is_no_field_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="no field 'wal'"):

        class Wrong(Event, topic="walls", key="wal"):
            wall: str
