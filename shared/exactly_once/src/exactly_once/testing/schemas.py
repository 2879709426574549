"""A schema registry in memory, which takes every schema that it is asked for."""

import json
from typing import Any


class MemorySchemas:
    """What `registry.Registry` asks a real registry; whatever is written is registered, so that nothing is refused."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    async def id_of(self, subject: str, schema: dict[str, Any]) -> int:  # noqa: ARG002  # one schema, one id, whatever the subject
        """Return the id of a schema, a new one for a new schema."""
        return self._ids.setdefault(json.dumps(schema, sort_keys=True), len(self._ids) + 1)

    async def schema_of(self, schema_id: int) -> Any:
        """Return the schema with an id, None where nobody has registered one."""
        texts = {number: text for text, number in self._ids.items()}
        return json.loads(texts[schema_id]) if schema_id in texts else None
