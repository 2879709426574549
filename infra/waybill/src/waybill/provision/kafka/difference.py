"""What lies between Kafka as it is and as the contracts want it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from waybill.provision.changes import Change, Plan
from waybill.provision.kafka.state import Acl, KafkaState, TopicState

Settings = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class KafkaDifference:
    """What to make and change; a setting of None goes back to the broker's default."""

    new_topics: Mapping[str, TopicState]
    more_partitions: Mapping[str, int]
    settings: Mapping[str, Settings]
    new_acls: frozenset[Acl]
    extra_acls: frozenset[Acl]
    new_users: frozenset[str]
    conflicts: tuple[str, ...]

    def plan(self) -> Plan:
        """Return the difference in words."""
        return Plan(changes=tuple(self._changes()), conflicts=self.conflicts)

    def _changes(self) -> Iterator[Change]:
        for user in sorted(self.new_users):
            yield Change(part="kafka", action="create", kind="user", name=user)
        for name, topic in sorted(self.new_topics.items()):
            yield Change(part="kafka", action="create", kind="topic", name=name, detail=_shape(topic))
        for name, count in sorted(self.more_partitions.items()):
            yield Change(part="kafka", action="alter", kind="partitions", name=name, detail=str(count))
        for name, settings in sorted(self.settings.items()):
            detail = _settings(settings)
            yield Change(part="kafka", action="alter", kind="settings", name=name, detail=detail)
        for acl in sorted(self.new_acls):
            yield Change(part="kafka", action="create", kind="permission", name=str(acl))
        for acl in sorted(self.extra_acls):
            yield Change(part="kafka", action="remove", kind="permission", name=str(acl))


def difference(wanted: KafkaState, actual: KafkaState) -> KafkaDifference:
    """Compare; `actual` holds only what is the namespace's concern. Users are never removed (see `broker`)."""
    both = sorted(wanted.topics.keys() & actual.topics.keys())
    pairs = {name: (wanted.topics[name], actual.topics[name]) for name in both}
    settings = {name: _unlike(want.config, found.config) for name, (want, found) in pairs.items()}
    return KafkaDifference(
        new_topics={name: wanted.topics[name] for name in wanted.topics.keys() - actual.topics.keys()},
        more_partitions={
            n: want.partitions for n, (want, found) in pairs.items() if found.partitions < want.partitions
        },
        settings={name: unlike for name, unlike in settings.items() if unlike},
        new_acls=wanted.acls - actual.acls,
        extra_acls=actual.acls - wanted.acls,
        new_users=wanted.users - actual.users,
        conflicts=tuple(_conflicts(pairs)),
    )


def _unlike(wanted: Mapping[str, str], found: Mapping[str, str]) -> Settings:
    changed = {name: value for name, value in wanted.items() if found.get(name) != value}
    return changed | dict.fromkeys(found.keys() - wanted.keys())


def _conflicts(pairs: Mapping[str, tuple[TopicState, TopicState]]) -> Iterator[str]:
    for name, (want, found) in pairs.items():
        if found.partitions > want.partitions:
            yield f"the topic {name} has {found.partitions} partitions, not {want.partitions}: none can be removed"
        if found.replicas != want.replicas:
            yield f"the topic {name} has {found.replicas} replicas, not {want.replicas}: reassign its partitions"


def _shape(topic: TopicState) -> str:
    return f"partitions={topic.partitions} replicas={topic.replicas} {_settings(topic.config)}"


def _settings(settings: Settings) -> str:
    return " ".join(f"{name}={'(default)' if value is None else value}" for name, value in sorted(settings.items()))
