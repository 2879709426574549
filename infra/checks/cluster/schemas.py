"""Each resource is one that its API takes: the core's by Kubernetes' own schemas, the others by their definitions'.

A definition's schema is closed here: the API server would drop what it does not know, and nobody would hear of it.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from waybill.kubernetes.resource import Resource

FOLDER = Path(__file__).parents[2] / "kubernetes" / "schemas"
VERSION = "1.37"
ENVELOPE = {"apiVersion", "kind", "metadata"}


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield what a schema does not allow."""
    for resource in resources:
        name = f"{resource['kind']} {resource['metadata']['name']}"
        if "." in resource["apiVersion"].partition("/")[0] and not resource["apiVersion"].split("/")[0].endswith(
            "k8s.io"
        ):
            yield from (f"{name}: {why}" for why in _extension(resource))
        else:
            yield from (f"{name}: {why}" for why in _core(resource))


def _core(resource: Resource) -> Iterator[str]:
    try:
        kubernetes_validate.validate(resource, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"Kubernetes {VERSION} has no {resource['kind']} in {resource['apiVersion']}"


def _extension(resource: Resource) -> Iterator[str]:
    validator = _validator(resource["kind"], resource["apiVersion"])
    if validator is None:
        yield f"no schema here knows a {resource['kind']} in {resource['apiVersion']}"
        return
    for error in validator.iter_errors(resource):
        yield f"{'.'.join(map(str, error.path))}: {error.message}"


@cache
def _validator(kind: str, api_version: str) -> Draft202012Validator | None:
    file = FOLDER / f"{kind}.json"
    schema = json.loads(file.read_text())["schemas"].get(api_version) if file.exists() else None
    return Draft202012Validator(closed(schema)) if schema else None


def closed(schema: Any) -> Any:
    """Return a schema that allows no property but those that it names, unless it says that it keeps unknown ones."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and not keeps and "additionalProperties" not in schema:
        inner["additionalProperties"] = False
    return inner
