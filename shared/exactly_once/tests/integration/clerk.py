"""What an operator does to the stage: settings of its topics, and a user with the permissions of a loop."""

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it says nothing of them
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from shared.exactly_once.tests.faults.tally import NAME
from shared.exactly_once.tests.integration.stage import LETTERS, Stage, settled

from exactly_once import KafkaSettings


async def configure(stage: Stage, topic: str, name: str, value: str) -> None:
    """Set one setting of a topic, by the name that the brokers know."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    await settled(stage.admin.incremental_alter_configs([resource]))


@asynccontextmanager
async def a_clerk(stage: Stage) -> AsyncIterator[KafkaSettings]:
    """Make a user who may do what a loop must do, and no more; afterwards nobody knows the password.

    The user stays: on Kafka 4.3.1 a broker that is restarted after a user was deleted refuses every SCRAM user.
    """
    user, password = stage.name("clerk"), secrets.token_hex(16)
    await _set_password(stage, user, password)
    with NamedTemporaryFile("w") as file:
        file.write(password)
        file.flush()
        async with _granted(stage, replace(stage.settings, user=user, credential=Path(file.name))) as settings:
            yield settings
    await _set_password(stage, user, secrets.token_hex(16))


@asynccontextmanager
async def _granted(stage: Stage, settings: KafkaSettings) -> AsyncIterator[KafkaSettings]:
    grants = [
        _allowed(settings, ResourceType.TOPIC, stage.name("added"), AclOperation.READ),
        _allowed(settings, ResourceType.GROUP, stage.name(NAME), AclOperation.READ),
        _allowed(settings, ResourceType.TRANSACTIONAL_ID, stage.name(NAME), AclOperation.WRITE),
        *(may_write(stage, settings, topic) for topic in ("totalled", LETTERS)),
    ]
    await grant(stage, grants)
    yield settings
    await revoke(stage, grants)


async def _set_password(stage: Stage, user: str, password: str) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    upserted = UserScramCredentialUpsertion(user, info, password.encode())
    await settled(stage.admin.alter_user_scram_credentials([upserted]))


def may_write(stage: Stage, settings: KafkaSettings, topic: str) -> AclBinding:
    """The permission to write to a topic."""
    return _allowed(settings, ResourceType.TOPIC, stage.name(topic), AclOperation.WRITE)


async def grant(stage: Stage, permissions: Iterable[AclBinding]) -> None:
    """Give permissions."""
    await settled(stage.admin.create_acls(list(permissions)))


async def revoke(stage: Stage, permissions: Iterable[AclBinding]) -> None:
    """Take permissions away, those that are there."""
    await settled(stage.admin.delete_acls([_same(permission) for permission in permissions]))


def _allowed(settings: KafkaSettings, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    who, how = f"User:{settings.user}", AclPermissionType.ALLOW
    return AclBinding(kind, name, ResourcePatternType.PREFIXED, who, "*", operation, how)


def _same(given: AclBinding) -> AclBindingFilter:
    what = given.restype, given.name, given.resource_pattern_type
    return AclBindingFilter(*what, given.principal, given.host, given.operation, given.permission_type)
