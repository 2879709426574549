"""Turns a lane into the properties that Kafka Streams wants, then becomes it: `streams.py COMMAND… LANE`."""

import json
import os
import sys
from pathlib import Path

from lane import Lane


def properties(lane: Lane, folder: Path) -> dict[str, str]:
    """Return the settings: exactly_once_v2, the lane's commit interval, otherwise as Streams comes."""
    user = f'username="{lane.user}" password="{lane.password}"'
    bytes_serde = "org.apache.kafka.common.serialization.Serdes$ByteArraySerde"
    return {
        "bootstrap.servers": lane.bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": f"org.apache.kafka.common.security.scram.ScramLoginModule required {user};",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": lane.ca_file,
        "application.id": lane.group,
        "processing.guarantee": "exactly_once_v2",
        "commit.interval.ms": str(round(lane.commit_s * 1000)),
        "num.stream.threads": "1",
        "auto.offset.reset": "earliest",
        "producer.compression.type": "lz4",
        "default.key.serde": bytes_serde,
        "default.value.serde": bytes_serde,
        "state.dir": str(folder),
        "hop.input": lane.input,
        "hop.output": lane.output,
        "hop.input.schema": json.dumps(lane.input_schema),
        "hop.output.schema": json.dumps(lane.output_schema),
        "hop.output.schema.id": str(lane.output_schema_id),
    }


def main() -> None:
    """Become Java."""
    *command, file = sys.argv[1:]
    lane = Lane.read(Path(file))
    told = Path(file).with_name("streams.properties")
    told.touch(0o600)
    lines = (f"{name}={value}" for name, value in properties(lane, told.parent / "state").items())
    told.write_text("\n".join(lines))
    os.execv(command[0], [*command, str(told)])  # noqa: S606  # no shell, and nothing of it is input


if __name__ == "__main__":
    main()
