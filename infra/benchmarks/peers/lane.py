"""What a competitor is told, and the one thing that all of them do to a record: decode, price, encode.

Nothing of Waybill is imported here: some competitors run in an environment of their own.
"""

import io
import json
import ssl
import struct
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import fastavro

WIRE_HEADER = struct.Struct(">bI")


@dataclass(frozen=True)
class Lane:
    """Where a competitor reads and writes, as whom, and how often it commits."""

    name: str
    bootstrap: str
    user: str
    password_file: str
    ca_file: str
    input: str
    output: str
    group: str
    commit_s: float
    keeps_state: bool
    most_records: int
    postgres: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    output_schema_id: int

    @classmethod
    def told(cls) -> Self:
        """Read the file that the command line names."""
        return cls.read(Path(sys.argv[1]))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what is told in a file."""
        return cls(**json.loads(file.read_text()))

    @property
    def password(self) -> str:
        """The password of the Kafka user."""
        return Path(self.password_file).read_text().strip()

    def aiokafka(self) -> dict[str, Any]:
        """Return how an aiokafka client reaches the cluster."""
        return {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": "SASL_SSL",
            "ssl_context": ssl.create_default_context(cafile=self.ca_file),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
        }

    @cached_property
    def _schemas(self) -> tuple[Any, Any]:
        return fastavro.parse_schema(self.input_schema), fastavro.parse_schema(self.output_schema)

    def decoded(self, value: bytes) -> dict[str, Any]:
        """Return the fields of an input in Confluent's wire format."""
        fields: dict[str, Any] = fastavro.schemaless_reader(
            io.BytesIO(value[WIRE_HEADER.size :]), self._schemas[0], None
        )  # type: ignore[assignment]  # fastavro says less
        return fields

    def encoded(self, fields: dict[str, Any]) -> bytes:
        """Return an output in Confluent's wire format."""
        buffer = io.BytesIO()
        buffer.write(WIRE_HEADER.pack(0, self.output_schema_id))
        fastavro.schemaless_writer(buffer, self._schemas[1], fields)
        return buffer.getvalue()

    def hop(self, value: bytes) -> bytes:
        """Return the output of an input."""
        return self.encoded(priced(self.decoded(value)))


def priced(parcel: dict[str, Any]) -> dict[str, Any]:
    """Return the event that answers an event."""
    return {
        "parcel_id": parcel["parcel_id"],
        "number": parcel["number"],
        "cents": 100 + parcel["grams"] // 10,
        "sender": parcel["sender"],
        "recipient": parcel["recipient"],
    }
