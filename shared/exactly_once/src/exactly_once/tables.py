"""The library's tables, one set in each service's database."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.engine import Connection

metadata = MetaData()

owner = Table(
    "owner",
    metadata,
    Column("group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("pruned_to", BigInteger, nullable=False),
    PrimaryKeyConstraint("group", "topic", "partition"),
    comment="Our own position in each partition, who may move it, and how far stored outputs are gone",
)

claims = Table(
    "claims",
    metadata,
    Column("group", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of key and value: see envelope.digest"),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("rejected", Boolean, nullable=False),
    PrimaryKeyConstraint("group", "event_id"),
    comment="Each event id once: where and with which bytes it was seen, and whether it became a dead letter",
)

# The sequence must keep no cache: `seq` is drawn under the owner row's lock, so its order is the order of commits.
outputs = Table(
    "outputs",
    metadata,
    Column("seq", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("out_topic", Text, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", LargeBinary, nullable=False, comment="packed: see envelope.pack_headers"),
    Index("outputs_by_input", "group", "topic", "partition", "offset"),
    comment="Encoded outputs and dead letters, by the input that caused them",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("out_topic", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    comment="Events that HTTP requests committed and the relay has yet to publish, in order of id",
)

relay = Table(
    "relay",
    metadata,
    Column("name", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False, comment="the fence: only its holder may label"),
    Column("last", BigInteger, nullable=False, comment="number of the last labelled batch"),
    Column("batch", Uuid, comment="the labelled batch that is not deleted yet"),
    Column("rows", ARRAY(BigInteger), nullable=False, comment="that batch's outbox ids, in order"),
    Column("holder", Text, comment="who relays; for progress only, the epoch is the fence"),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    comment="Who relays the outbox, and the batch on its way",
)


def create_tables(connection: Connection) -> None:
    """Create the library's tables: for a service's first migration."""
    metadata.create_all(connection)


def drop_tables(connection: Connection) -> None:
    """Drop the library's tables: for the way back of that migration."""
    metadata.drop_all(connection)
