"""Who writes and reads what, as the contracts declare it: names only, no code that decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from contracts import CONSUMES, EVENTS, TOPICS


@dataclass(frozen=True)
class Wiring:
    """The names that the audit needs of the contracts; topics by their logical names."""

    topics: Mapping[str, str]  # the topic of each event type
    keys: Mapping[str, str]  # the field that is each event type's key
    writers: Mapping[str, str]  # the only writer of each topic
    consumes: Mapping[str, frozenset[str]]  # the event types that each group handles
    compacted: frozenset[str]

    @classmethod
    def of_contracts(cls) -> Self:
        """Return the names that the contracts declare."""
        return cls(
            topics={event_type.__name__: event_type.topic for event_type in EVENTS},
            keys={event_type.__name__: event_type.key for event_type in EVENTS},
            writers={topic.name: topic.owner for topic in TOPICS},
            consumes={
                group: frozenset(event_type.__name__ for event_type in types) for group, types in CONSUMES.items()
            },
            compacted=frozenset(topic.name for topic in TOPICS if topic.compacted),
        )

    def reads(self, group: str) -> frozenset[str]:
        """Return the topics that a group reads."""
        return frozenset(self.topics[event_type] for event_type in self.consumes[group])
