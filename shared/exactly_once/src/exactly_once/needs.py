"""What a loop and a relay need to be allowed in Kafka, under logical names: asked for before anything is consumed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from exactly_once.dead_letters import topic_of
from exactly_once.event import Event
from exactly_once.processor import Processor
from exactly_once.relay import INSTANCE as RELAYING
from exactly_once.relay import progress_topic


@dataclass(frozen=True)
class Needs:
    """Topics to read and to write, the instances of `name` whose transactional ids are taken, and maybe its group."""

    name: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    instances: frozenset[str] = frozenset()
    joins: bool = False

    @classmethod
    def of_loop(cls, processor: Processor, instance: str) -> Self:
        """Return what a processor's loop needs."""
        writes = {event_type.topic for event_type in processor.emits} | {topic_of(processor.name)}
        return cls(processor.name, processor.topics, frozenset(writes), frozenset({instance}), joins=True)

    @classmethod
    def of_relay(cls, name: str, publishes: Iterable[type[Event]]) -> Self:
        """Return what the relay of a service that publishes these needs."""
        progress = progress_topic(name)
        writes = {event_type.topic for event_type in publishes} | {progress}
        return cls(name, frozenset({progress}), frozenset(writes), frozenset({RELAYING}))

    def __or__(self, other: Self) -> Self:
        """Return what both need."""
        return type(self)(
            self.name,
            self.reads | other.reads,
            self.writes | other.writes,
            self.instances | other.instances,
            joins=self.joins or other.joins,
        )
