"""Writes the snapshot of all schemas, and completes recordings: run it after a change that is meant.

A new recording starts as `recorded/<Event>.<n>.json` with nothing but {"event": {...}}. A finished one is never
written again: those bytes are out there.
"""

import io
import json
from pathlib import Path

import fastavro

from contracts import EVENTS

HERE = Path(__file__).parent


def record() -> None:
    """Write what is missing."""
    for event_type in EVENTS:
        schema = event_type.avro_schema()
        (HERE / "schemas" / f"{event_type.__name__}.avsc").write_text(json.dumps(schema, indent=2) + "\n")
        for file in (HERE / "recorded").glob(f"{event_type.__name__}.*.json"):
            recording = json.loads(file.read_text())
            if "value" not in recording:
                event = event_type.model_validate_json(json.dumps(recording["event"]))
                body = io.BytesIO()
                fastavro.schemaless_writer(body, fastavro.parse_schema(schema), event.model_dump())
                recording |= {"value": body.getvalue().hex(), "schema": schema}
                file.write_text(json.dumps(recording, indent=1) + "\n")


if __name__ == "__main__":
    record()
