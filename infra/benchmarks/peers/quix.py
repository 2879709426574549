"""Quix Streams, exactly once; in an environment of its own, since it wants an older pydantic than the project has."""

from lane import Lane
from quixstreams import Application
from quixstreams.kafka import ConnectionConfig


def main() -> None:
    """Run as the lane says."""
    lane = Lane.told()
    application = Application(
        ConnectionConfig(
            bootstrap_servers=lane.bootstrap,
            security_protocol="sasl_ssl",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=lane.user,
            sasl_password=lane.password,
            ssl_ca_location=lane.ca_file,
        ),
        consumer_group=lane.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=lane.commit_s,
        consumer_poll_timeout=lane.commit_s,  # it commits between two polls
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5, "partitioner": "murmur2_random"},
        consumer_extra_config={"fetch.queue.backoff.ms": 5},
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel="WARNING",
    )
    as_bytes = {"key_serializer": "bytes", "value_serializer": "bytes"}
    source = application.topic(lane.input, key_deserializer="bytes", value_deserializer="bytes")
    output = application.topic(lane.output, **as_bytes)
    application.dataframe(source).apply(lane.hop).to_topic(output)
    application.run()


if __name__ == "__main__":
    main()
