"""The conversation with the brokers: reads what a namespace has, makes what is missing, in few batched calls.

It never deletes a user: on Kafka 4.3.1 a broker restarted after that refuses every SCRAM user.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

import confluent_kafka.admin
from confluent_kafka import KafkaException

from contracts import TOPICS, Names
from waybill.errors import UsageError
from waybill.provision.kafka.difference import KafkaDifference, Settings
from waybill.provision.kafka.state import Acl, KafkaState, TopicState, touches

admin: Any = confluent_kafka.admin  # its own annotations refuse what its manual prescribes
TIMEOUT_S = 10.0
KEY_STORE = "listener.name.client.ssl.keystore.location"
SCRAM = admin.ScramCredentialInfo(admin.ScramMechanism.SCRAM_SHA_512, 4096)
ANYTHING = (admin.ResourceType.ANY, None, admin.ResourcePatternType.ANY)
ANY_ACL = admin.AclBindingFilter(*ANYTHING, None, None, admin.AclOperation.ANY, admin.AclPermissionType.ANY)


class Broker:
    """An administrator's connection, as the operator."""

    def __init__(self, client: Mapping[str, str], names: Names) -> None:
        self._client = admin.AdminClient({**client, "log_level": 0})  # it tells of lost brokers 20 times a second
        self._names = names

    async def read(self) -> KafkaState:
        """Return what the namespace has. UsageError: no broker answers."""
        try:
            return KafkaState(*await asyncio.gather(self._topics(), self._acls(), self._users()))
        except KafkaException as error:
            raise UsageError(f"Kafka does not answer the operator: is the stack up? ({_why(error)})") from error

    async def _topics(self) -> dict[str, TopicState]:
        metadata = await asyncio.to_thread(self._client.list_topics, timeout=TIMEOUT_S)
        wanted = {self._names.topic(topic.name) for topic in TOPICS}
        found = {name: topic for name, topic in metadata.topics.items() if name in wanted and topic.partitions}
        configs = await self._configs(found)
        return {
            name: TopicState(
                partitions=len(topic.partitions),
                replicas=max(len(partition.replicas) for partition in topic.partitions.values()),
                config=configs[name],
            )
            for name, topic in found.items()
            if name in configs
        }

    async def _configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return what was set of each; a topic that is so new that the broker asked doesn't know it is left out."""
        resources = [_resource(name) for name in topics]
        if not resources:
            return {}
        found = {}
        for resource, answer in self._client.describe_configs(resources, request_timeout=TIMEOUT_S).items():
            try:
                found[resource.name] = _given(await asyncio.wrap_future(answer))
            except KafkaException as error:
                if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                    raise
        return found

    async def _acls(self) -> frozenset[Acl]:
        found = await asyncio.wrap_future(self._client.describe_acls(ANY_ACL, request_timeout=TIMEOUT_S))
        return frozenset(acl for acl in map(_from_binding, found) if touches(self._names, acl))

    async def _users(self) -> frozenset[str]:
        answer = self._client.describe_user_scram_credentials(request_timeout=TIMEOUT_S)
        found = await asyncio.wrap_future(answer)
        return frozenset(
            user
            for user, description in found.items()
            if any(info.mechanism == SCRAM.mechanism for info in description.scram_credential_infos)
        )

    async def make(self, difference: KafkaDifference, password: Callable[[str], str]) -> None:
        """Make what differs: each kind in one call, all kinds at once. UsageError: the brokers refuse."""
        try:
            await asyncio.gather(
                self._upsert_users(difference.new_users, password),
                self._create_topics(difference.new_topics),
                self._add_partitions(difference.more_partitions),
                self._set(difference.settings),
                self._change_acls(difference.new_acls, difference.extra_acls),
            )
        except KafkaException as error:
            raise UsageError(f"Kafka refuses what provisioning asks for: {_why(error)}") from error

    async def set_password(self, user: str, password: str) -> None:
        """Replace a user's password: connections that stand stay. UsageError: the brokers refuse."""
        try:
            await self._upsert_users([user], lambda _: password)
        except KafkaException as error:
            raise UsageError(f"Kafka does not take a new password of {user}: {_why(error)}") from error

    async def reload_files(self, number: int) -> None:
        """Have a broker load its key store anew. UsageError: it does not answer, or refuses.

        Any change of a broker's own settings makes it look at its files; this one sets back what was never set.
        """
        entry = _entry(KEY_STORE, None)
        resource = admin.ConfigResource(admin.ResourceType.BROKER, str(number), incremental_configs=[entry])
        try:
            await _all(self._client.incremental_alter_configs([resource], request_timeout=TIMEOUT_S))
        except KafkaException as error:
            raise UsageError(f"broker {number} does not load its certificate anew: {_why(error)}") from error

    async def _upsert_users(self, users: Iterable[str], password: Callable[[str], str]) -> None:
        upserts = [admin.UserScramCredentialUpsertion(user, SCRAM, password(user).encode()) for user in users]
        if upserts:
            await _all(self._client.alter_user_scram_credentials(upserts, request_timeout=TIMEOUT_S))

    async def _create_topics(self, topics: Mapping[str, TopicState]) -> None:
        new = [admin.NewTopic(name, it.partitions, it.replicas, config=dict(it.config)) for name, it in topics.items()]
        if new:
            await _all(self._client.create_topics(new, request_timeout=TIMEOUT_S))

    async def _add_partitions(self, counts: Mapping[str, int]) -> None:
        new = [admin.NewPartitions(name, count) for name, count in counts.items()]
        if new:
            await _all(self._client.create_partitions(new, request_timeout=TIMEOUT_S))

    async def _set(self, settings: Mapping[str, Settings]) -> None:
        resources = [_resource(name, [_entry(*it) for it in each.items()]) for name, each in settings.items()]
        if resources:
            await _all(self._client.incremental_alter_configs(resources, request_timeout=TIMEOUT_S))

    async def _change_acls(self, new: Iterable[Acl], extra: Iterable[Acl]) -> None:
        if bindings := [admin.AclBinding(*_binding(acl)) for acl in new]:
            await _all(self._client.create_acls(bindings, request_timeout=TIMEOUT_S))
        if filters := [admin.AclBindingFilter(*_binding(acl)) for acl in extra]:
            await _all(self._client.delete_acls(filters, request_timeout=TIMEOUT_S))


async def _all(answers: Mapping[Any, "Future[Any]"]) -> None:
    for answer in answers.values():
        try:
            await asyncio.wrap_future(answer)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # someone else provisions too: equally good
                raise


def _why(error: KafkaException) -> str:
    return str(error.args[0].str())


def _given(config: Mapping[str, Any]) -> dict[str, str]:
    source = admin.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {name: entry.value for name, entry in config.items() if entry.source == source}


def _resource(topic: str, entries: Iterable[Any] = ()) -> Any:
    return admin.ConfigResource(admin.ResourceType.TOPIC, topic, incremental_configs=list(entries))


def _entry(name: str, value: str | None) -> Any:
    operation = admin.AlterConfigOpType.DELETE if value is None else admin.AlterConfigOpType.SET
    return admin.ConfigEntry(name, value, incremental_operation=operation)


def _from_binding(found: Any) -> Acl:
    return Acl(
        found.principal,
        found.operation.name.lower(),
        "cluster" if found.restype == admin.ResourceType.BROKER else found.restype.name.lower(),
        found.name,
        found.resource_pattern_type.name.lower(),
        found.permission_type.name.lower(),
        found.host,
    )


def _binding(acl: Acl) -> tuple[Any, ...]:
    return (
        admin.ResourceType.BROKER if acl.resource == "cluster" else admin.ResourceType[acl.resource.upper()],
        acl.name,
        admin.ResourcePatternType[acl.pattern.upper()],
        acl.principal,
        acl.host,
        admin.AclOperation[acl.operation.upper()],
        admin.AclPermissionType[acl.permission.upper()],
    )
