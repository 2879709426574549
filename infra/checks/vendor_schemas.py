"""Writes infra/kubernetes/schemas from files of CustomResourceDefinitions: what a resource may say, and no prose.

    python infra/checks/vendor_schemas.py SOURCE FILE ...

SOURCE says where the files are from, as `github.com/strimzi/strimzi-kafka-operator 1.2.0`. Each schema names it, and
the file's sha256. Descriptions and status are left out.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "kubernetes" / "schemas"


def schemas(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of each version that is served, by apiVersion."""
    group = definition["spec"]["group"]
    return {
        f"{group}/{version['name']}": bare(version["schema"]["openAPIV3Schema"])
        for version in definition["spec"]["versions"]
        if version["served"]
    }


def bare(schema: Any) -> Any:
    """Return a schema without prose, and without what only operators write."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    prose = {"description"} if isinstance(schema.get("description"), str) else set()
    kept = {name: bare(value) for name, value in schema.items() if name not in prose}
    if "spec" in kept.get("properties", {}):
        kept["properties"].pop("status", None)
    return kept


def main(source: str, files: list[str]) -> None:
    """Write a file for each definition."""
    for path in map(Path, files):
        content = path.read_bytes()
        definition = yaml.safe_load(content)
        kind = definition["spec"]["names"]["kind"]
        origin = {"source": f"{source} {path.name}", "sha256": hashlib.sha256(content).hexdigest()}
        written = origin | {"license": "Apache-2.0", "kind": kind, "schemas": schemas(definition)}
        (FOLDER / f"{kind}.json").write_text(json.dumps(written, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
