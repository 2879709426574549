"""Asks a Confluent-compatible schema registry: ids of schemas that we write, schemas of ids that we read."""

import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from exactly_once.errors import Halted, Retryable

NOT_FOUND = 404
UNKNOWN_TO_THE_REGISTRY = range(40_400, 40_500)  # its own codes; any other 404 comes from something in between
CONTENT_TYPE = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class Registry:
    """A client for the two questions that a codec has. Retryable when the registry does not answer."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """Return the id under which a subject has a schema; Halted where it is not registered."""
        found = await self._ask("POST", f"/subjects/{subject}", {"schema": json.dumps(schema)})
        if found is None:
            raise Halted(f"the registry does not know this schema of {subject}: run `waybill provision`")
        return int(found["id"])

    async def schema_of(self, schema_id: int) -> Any:
        """Return the schema with an id, parsed where it is JSON; None where the registry knows none."""
        found = await self._ask("GET", f"/schemas/ids/{schema_id}", None)
        if found is None:
            return None
        try:
            return json.loads(found["schema"])
        except ValueError:  # Protobuf, say: not for this reader
            return found["schema"]

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            async with self._session.request(
                method, self._url + path, data=body and json.dumps(body), headers=CONTENT_TYPE
            ) as answer:
                if answer.status != NOT_FOUND:
                    answer.raise_for_status()
                found: dict[str, Any] = await answer.json(content_type=None)
                if answer.status == NOT_FOUND and found["error_code"] not in UNKNOWN_TO_THE_REGISTRY:
                    answer.raise_for_status()
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
            raise Retryable(f"the schema registry at {self._url} does not answer: {error!r}") from error
        return None if answer.status == NOT_FOUND else found
