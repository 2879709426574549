"""The topics: who alone writes each, how long it keeps what, how it is replicated."""

from dataclasses import dataclass

SERVICES = ("checkout", "inventory", "accounting", "fulfillment")
RELAYING = ("checkout", "inventory")  # the services with an outbox

PARTITIONS = 3
REPLICAS = 3
DAY_MS = 86_400_000
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic under its logical name; `retention_ms` None: compacted, the latest value a key is kept for ever.

    Sizes are bytes a partition.
    """

    name: str
    owner: str
    partitions: int = PARTITIONS
    retention_ms: int | None = 7 * DAY_MS
    retention_bytes: int = 1024 * MIB
    max_record_bytes: int = MIB

    @property
    def compacted(self) -> bool:
        """Tell whether the topic keeps the latest value a key instead of a stretch of time."""
        return self.retention_ms is None

    def replicas(self, brokers: int) -> int:
        """Return the replication factor on so many brokers."""
        return min(REPLICAS, brokers)

    def config(self, brokers: int) -> dict[str, str]:
        """Return every setting of the topic that is not the broker's default, under Kafka's names."""
        common = {
            "min.insync.replicas": str(max(1, self.replicas(brokers) - 1)),
            "max.message.bytes": str(self.max_record_bytes),
        }
        if self.retention_ms is None:
            rolled = {
                "segment.ms": str(DAY_MS // 24),
                "segment.bytes": str(16 * MIB),
            }  # the open segment is not cleaned
            return common | rolled | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        kept = {"retention.ms": str(self.retention_ms), "retention.bytes": str(self.retention_bytes)}
        return common | kept | {"cleanup.policy": "delete"}


def dead_letters(service: str) -> str:
    """Return the logical topic of a service's dead letters."""
    return f"{service}.dead-letters"


def relay_progress(service: str) -> str:
    """Return the logical topic in which a service's relay notes how far it is."""
    return f"{service}.relay"


TOPICS: tuple[Topic, ...] = (
    Topic("orders", "checkout"),
    Topic("orders.stock", "inventory"),
    Topic("orders.billing", "accounting"),
    Topic("orders.shipping", "fulfillment"),
    Topic("orders.status", "checkout", retention_ms=None),
    Topic("products", "inventory", retention_ms=None),
    Topic("accounting.commands", "accounting"),
    Topic("inventory.commands", "inventory"),
    # many times the size: what a topic takes must fit into a dead letter together with its provenance, and what another
    # producer packed by zstd may be so much larger as we pack it; what is larger still stops its group
    *(
        Topic(dead_letters(service), service, retention_ms=30 * DAY_MS, max_record_bytes=16 * MIB)
        for service in SERVICES
    ),
    *(Topic(relay_progress(service), service, partitions=1, retention_ms=None) for service in RELAYING),
)
