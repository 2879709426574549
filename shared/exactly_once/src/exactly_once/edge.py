"""What the loop, the recovery and the relay need of Kafka: `kafka/` is the real edge, `testing/` one in memory."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from exactly_once.batch import Output, Partition, Positions, Record
from exactly_once.kafka.membership import Membership


class Polled(NamedTuple):
    """Records in order, and the position behind them in every assigned partition (control records included)."""

    records: list[Record]
    positions: Positions


class Consumer(Protocol):
    """One member of a consumer group; `kafka.consumer.GroupConsumer` says what each method promises."""

    async def ensure(self) -> None:
        """Join the group, again where the last membership failed."""
        ...

    async def stop(self) -> None:
        """Leave the group."""
        ...

    async def membership(self, patience_s: float) -> Membership | None:
        """Return the current membership, None if there is none within `patience_s`."""
        ...

    def holds(self, membership: Membership) -> bool:
        """Tell whether this is still what the group said last."""
        ...

    async def poll(self, membership: Membership, timeout_s: float, most: int) -> Polled:
        """Return what has arrived. FencedByGroup: there is a new assignment."""
        ...

    async def stable_offsets(self, membership: Membership) -> Positions:
        """Return the committed offsets, after every pending transactional commit has ended."""
        ...

    async def beginnings(self, partitions: Iterable[Partition]) -> Positions:
        """Return the first offset that each partition still has."""
        ...

    def pause(self, membership: Membership) -> None:
        """Deliver nothing until `resume_at`."""
        ...

    def resume_at(self, membership: Membership, positions: Positions) -> None:
        """Go on at these positions. FencedByGroup: the partitions have been assigned anew."""
        ...


class Producer(Protocol):
    """The holder of one transactional id; `kafka.producer.TransactionalProducer` says what each method promises."""

    async def replace(self) -> None:
        """Start anew with the same id: what was open is aborted, what still lives is fenced."""
        ...

    async def publish(
        self, outputs: Sequence[Output], positions: Positions | None = None, membership: Membership | None = None
    ) -> None:
        """Publish outputs and positions in one transaction. FencedByGroup, PublishFailed: replace the producer."""
        ...

    async def stop(self) -> None:
        """Stop the producer, if there is one."""
        ...


class Edge(Protocol):
    """A cluster, as the library knows it: names are logical."""

    def consumer(self, name: str, topics: Iterable[str]) -> Consumer:
        """Return a member-to-be of the group `name`."""
        ...

    def producer(self, name: str, instance: str) -> Producer:
        """Return the producer of the transactional id `name.instance`; it is started by `replace`."""
        ...

    async def last_value(self, topic: str) -> bytes | None:
        """Return the newest committed value in partition 0 of a topic, None where it has none."""
        ...


class Schemas(Protocol):
    """The two questions that a codec asks a schema registry."""

    async def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """Return the id under which a subject has a schema; Halted where it is not registered."""
        ...

    async def schema_of(self, schema_id: int) -> Any:
        """Return the schema with an id, None where the registry knows none."""
        ...
