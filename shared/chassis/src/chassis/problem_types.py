"""The types of problems that any service may answer with, and how a route says in OpenAPI which of them are its own.

Each has a heading in docs/problems.md, which a test compares.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

MEDIA_TYPE = "application/problem+json"

Types = Mapping[str, HTTPStatus]

COMMON: Types = MappingProxyType(
    {
        "malformed": HTTPStatus.BAD_REQUEST,
        "unauthorized": HTTPStatus.UNAUTHORIZED,
        "forbidden": HTTPStatus.FORBIDDEN,
        "not-found": HTTPStatus.NOT_FOUND,
        "method-not-allowed": HTTPStatus.METHOD_NOT_ALLOWED,
        "in-flight": HTTPStatus.CONFLICT,
        "length-required": HTTPStatus.LENGTH_REQUIRED,
        "body-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "unsupported-media-type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
        "too-many-requests": HTTPStatus.TOO_MANY_REQUESTS,
        "bug": HTTPStatus.INTERNAL_SERVER_ERROR,
        "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    }
)

ASKING = ("unauthorized", "forbidden", "method-not-allowed", "invalid", "unavailable")
POSTING = (*ASKING, "length-required", "body-too-large", "unsupported-media-type")  # whether its body is read or not
CHANGING = (*POSTING, "malformed")

REFERENCE = "#/components/schemas/Problem"
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "/problems/<name>; stable"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "for people; may change"},
        "trace_id": {"type": "string", "description": "what to ask us about"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"field": {"type": "string"}, "why": {"type": "string"}}},
        },
    },
}


def refusals(*names: str, own: Types = MappingProxyType({})) -> dict[int | str, dict[str, Any]]:
    """Return what a route's `responses` say of these types of problems; `own` are its service's."""
    types = {**COMMON, **own}
    documented: dict[int | str, dict[str, Any]] = {}
    for name in names:
        status = types[name]
        response = documented.setdefault(
            int(status),
            {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE}, "examples": {}}}},
        )
        value = {"type": f"/problems/{name}", "title": status.phrase, "status": int(status), "detail": "…"}
        response["content"][MEDIA_TYPE]["examples"][name] = {"value": value}
    return documented
