"""The registry's part: a schema a topic and event type, and that only compatible ones may follow."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from contracts import EVENTS
from exactly_once.avro import full_name
from waybill.errors import UsageError
from waybill.provision.changes import Change, Plan
from waybill.stack import Stack

COMPATIBILITY = "BACKWARD"  # who reads with the new schema can read what was written with the old one
OK, NOT_FOUND, CONFLICT = 200, 404, 409
CONTENT_TYPE = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
ALL_SUBJECTS = Change(part="registry", action="alter", kind="compatibility", name="all subjects", detail=COMPATIBILITY)
ASK = "POST"  # a question too, since it carries a schema


class Answer(NamedTuple):
    """A status and what came with it."""

    status: int
    body: Any


class Subject(NamedTuple):
    """What one subject lacks; `refused` says why its schema can't follow the ones before."""

    name: str
    schema: str
    schema_missing: bool
    compatibility_missing: bool
    refused: str

    def plan(self) -> Plan:
        """Return what it lacks in words."""
        if self.refused:
            return Plan(conflicts=(f"the schema of {self.name} breaks those who wrote the one before: {self.refused}",))
        schema = Change(part="registry", action="create", kind="schema", name=self.name)
        level = Change(part="registry", action="alter", kind="compatibility", name=self.name, detail=COMPATIBILITY)
        lacks = ((self.schema_missing, schema), (self.compatibility_missing, level))
        return Plan(changes=tuple(change for lacking, change in lacks if lacking))


class Registry:
    """A Confluent-compatible schema registry. UsageError: it does not answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator["Registry"]:
        """Open a registry's API at its address."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            yield cls(session, url)

    async def examine(self, name: str, schema: str) -> Subject:
        """Compare one subject with the schema that it should have."""
        found, level = await asyncio.gather(
            self._ask(ASK, f"/subjects/{name}", {"schema": schema}), self._ask("GET", f"/config/{name}")
        )
        missing = found.status == NOT_FOUND
        refused = await self._refusal(name, schema) if missing else ""
        return Subject(name, schema, missing, not _is_wanted(level), refused)

    async def has_default_level(self) -> bool:
        """Tell whether subjects that nobody thought of are protected too."""
        return _is_wanted(await self._ask("GET", "/config"))

    async def set_default_level(self) -> None:
        """Protect subjects that nobody thought of."""
        await self._done("PUT", "/config", {"compatibility": COMPATIBILITY})

    async def _refusal(self, name: str, schema: str) -> str:
        path = f"/compatibility/subjects/{name}/versions/latest?verbose=true"
        answer = await self._ask(ASK, path, {"schema": schema})
        if answer.status == NOT_FOUND or answer.body.get("is_compatible"):  # no version there: nothing to break
            return ""
        return " ".join(map(str, answer.body.get("messages") or ["not compatible"]))

    async def provide(self, subject: Subject) -> None:
        """Register what a subject lacks; its first version before its level, which a subject without one refuses."""
        if subject.schema_missing:
            path = f"/subjects/{subject.name}/versions"
            await self._done("POST", path, {"schema": subject.schema, "schemaType": "AVRO"})
        if subject.compatibility_missing:
            await self._done("PUT", f"/config/{subject.name}", {"compatibility": COMPATIBILITY})

    async def _done(self, method: str, path: str, body: Mapping[str, str]) -> None:
        answer = await self._ask(method, path, body)
        if answer.status != OK:
            raise UsageError(f"the registry refused {method} {path}: {answer.status} {answer.body}")

    async def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Answer:
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(method, self._url + path, data=data, headers=CONTENT_TYPE) as answer:
                said = Answer(answer.status, await answer.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:
            raise UsageError(f"the registry at {self._url} does not answer: is the stack up? ({error!r})") from error
        if said.status not in {OK, NOT_FOUND, CONFLICT}:
            raise UsageError(f"the registry refused {method} {path}: {said.status} {said.body}")
        return said


def _is_wanted(level: Answer) -> bool:
    return level.status == OK and level.body.get("compatibilityLevel") == COMPATIBILITY


async def plan_registry(stack: Stack) -> Plan:
    """Return what differs in the registry."""
    async with Registry.open(stack.registry_url) as registry:
        return _plan(await _examine(registry, stack), has_default=await registry.has_default_level())


async def provision_registry(stack: Stack) -> Plan:
    """Register all schemas, and that only compatible ones may follow. An incompatible one stays as it is."""
    async with Registry.open(stack.registry_url) as registry:
        has_default = await registry.has_default_level()
        if not has_default:
            await registry.set_default_level()
        subjects = await _examine(registry, stack)
        await asyncio.gather(*(registry.provide(subject) for subject in subjects if not subject.refused))
        return _plan(subjects, has_default=has_default)


def _plan(subjects: list[Subject], *, has_default: bool) -> Plan:
    default = Plan() if has_default else Plan(changes=(ALL_SUBJECTS,))
    return Plan.joined((default, *(subject.plan() for subject in subjects)))


async def _examine(registry: Registry, stack: Stack) -> list[Subject]:
    schemas = {stack.names.subject(it.topic, full_name(it)): json.dumps(it.avro_schema()) for it in EVENTS}
    return await asyncio.gather(*(registry.examine(name, schema) for name, schema in schemas.items()))
