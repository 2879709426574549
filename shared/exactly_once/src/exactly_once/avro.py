"""Derives the Avro schema of an event from its annotations: the class is the only place where a field is written."""

import datetime as dt
import enum
import types
import typing
import uuid
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

AVRO_NAMESPACE = "waybill"

type_names: dict[type, Any] = {
    str: "string",
    int: "long",
    bool: "boolean",
    float: "double",
    bytes: "bytes",
    uuid.UUID: {"type": "string", "logicalType": "uuid"},
    dt.datetime: {"type": "long", "logicalType": "timestamp-micros"},
}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the Avro record of a pydantic model.

    UUIDs and instants (microseconds, UTC) become logical types, `StrEnum` an enum, `list` an array, a nested
    model a record, `X | None` a union that is null by default. TypeError names a field that has no Avro form.
    """
    return _record(model, set())


def full_name(model: type) -> str:
    """Return the record's full name, as the registry and the wire know it."""
    return f"{AVRO_NAMESPACE}.{model.__name__}"


def _record(model: type[BaseModel], seen: set[type]) -> dict[str, Any]:
    seen.add(model)
    return {
        "type": "record",
        "name": model.__name__,
        "namespace": AVRO_NAMESPACE,
        **({"doc": _first_line(model)} if model.__doc__ else {}),
        "fields": [dict(_field(model, name, info, seen)) for name, info in model.model_fields.items()],
    }


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _field(model: type[BaseModel], name: str, info: FieldInfo, seen: set[type]) -> Iterator[tuple[str, Any]]:
    yield "name", name
    try:
        yield "type", _type(info.annotation, seen)
    except TypeError as error:
        raise TypeError(f"{model.__name__}.{name}: {error}") from None
    if not info.is_required():
        yield "default", info.get_default()


def _type(annotation: Any, seen: set[type]) -> Any:
    if typing.get_origin(annotation) is typing.Annotated:
        return _type(typing.get_args(annotation)[0], seen)
    if typing.get_origin(annotation) is list:
        return {"type": "array", "items": _type(typing.get_args(annotation)[0], seen)}
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        return ["null", *(_type(arm, seen) for arm in typing.get_args(annotation) if arm is not types.NoneType)]
    if annotation in type_names:
        return type_names[annotation]
    if isinstance(annotation, type):
        return _named(annotation, seen)
    raise TypeError(f"{annotation} has no Avro form")


def _named(annotation: type, seen: set[type]) -> Any:
    if annotation in seen:
        return full_name(annotation)
    if issubclass(annotation, enum.StrEnum):
        seen.add(annotation)
        symbols = [member.value for member in annotation]
        return {"type": "enum", "name": annotation.__name__, "namespace": AVRO_NAMESPACE, "symbols": symbols}
    if issubclass(annotation, BaseModel):
        return _record(annotation, seen)
    raise TypeError(f"{annotation.__name__} has no Avro form")
