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
    inspect,
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
    Column("claimed_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("group", "event_id"),
    Index("claims_by_age", "group", "claimed_at"),
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


def tables_of(*, consumes: bool, publishes: bool) -> set[str]:
    """Return which of these tables a service uses that runs a loop, or a relay."""
    of_a_loop, of_a_relay = (owner, claims, outputs), (outbox, relay)
    used = (*(of_a_loop if consumes else ()), *(of_a_relay if publishes else ()))
    return {str(table.name) for table in used}


def create_tables(connection: Connection) -> None:
    """Create the library's tables: for a service's first migration."""
    metadata.create_all(connection)


# What each version of the library changed in tables that an older one made. Each statement does nothing the second
# time: tables that `create_tables` made today go through all of them too.
_CHANGES = (
    "ALTER TABLE claims ADD COLUMN IF NOT EXISTS claimed_at timestamptz NOT NULL DEFAULT now()",
    'CREATE INDEX IF NOT EXISTS claims_by_age ON claims ("group", claimed_at)',
)


def upgrade_tables(connection: Connection) -> None:
    """Bring tables of an older library to today's; twice changes nothing, and neither does a database without them.

    Run it behind a service's own migrations: the library's tables follow the library, and no service can forget.
    """
    if inspect(connection).has_table(claims.name):
        for change in _CHANGES:
            connection.execute(text(change))


def missing(connection: Connection) -> list[str]:
    """Return the columns that these tables lack beside today's; none for a database that has no tables of ours."""
    inspector = inspect(connection)
    if not inspector.has_table(claims.name):
        return []
    found = {
        (table, column["name"]) for (_, table), columns in inspector.get_multi_columns().items() for column in columns
    }
    wanted = {(table.name, column.name) for table in metadata.sorted_tables for column in table.columns}
    return sorted(f"{table}.{column}" for table, column in wanted - found)


def drop_tables(connection: Connection) -> None:
    """Drop the library's tables: for the way back of that migration."""
    metadata.drop_all(connection)
