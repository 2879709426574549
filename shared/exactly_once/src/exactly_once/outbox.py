"""HTTP's way in: an event is committed with the change that it tells of, and published by the relay."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once.codec import Codec
from exactly_once.envelope import Provenance, pack_headers
from exactly_once.event import Event


def insertion(condition: str = "true") -> str:
    """Return the SQL that puts events where a condition holds; `Outbox.columns` gives its parameters.

    It may be a part of a statement that changes what the events tell of: then both are one round trip.
    """
    return f"""
INSERT INTO outbox (out_topic, key, value, headers)
SELECT o.out_topic, o.key, o.value, o.headers
FROM unnest(CAST(:topics AS text[]), CAST(:keys AS bytea[]), CAST(:values AS bytea[]), CAST(:headers AS bytea[]))
    WITH ORDINALITY AS o(out_topic, key, value, headers, place)
WHERE {condition} ORDER BY o.place"""  # noqa: S608  # the condition is a caller's constant


_PUT = text(insertion())
_EXCEEDS = text("SELECT EXISTS (SELECT FROM outbox OFFSET :most LIMIT 1)")


class Outbox:
    """Takes events into the caller's database transaction."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    async def put(
        self, connection: AsyncConnection, events: Sequence[Event], *, correlation_id: str, traceparent: str = ""
    ) -> None:
        """Insert events, in order; they are published after the caller's commit, and only then.

        `correlation_id` names the journey: the order id. The caller wakes the relay after its commit.
        """
        columns = self.columns(events, correlation_id=correlation_id, traceparent=traceparent)
        await connection.execute(_PUT, columns)

    async def put_as(self, connection: AsyncConnection, told: Sequence[tuple[Event, Provenance]]) -> None:
        """Insert events whose ids the caller chose, as `put` does: one that is put again is processed once."""
        await connection.execute(_PUT, self._columns(told))

    def columns(self, events: Sequence[Event], *, correlation_id: str, traceparent: str = "") -> dict[str, Any]:
        """Return the parameters of an `insertion` of these events, in order."""
        ids = [str(uuid.uuid4()) for _ in events]
        provenances = [Provenance(event_id, correlation_id, event_id, traceparent) for event_id in ids]
        return self._columns(list(zip(events, provenances, strict=True)))

    def _columns(self, told: Sequence[tuple[Event, Provenance]]) -> dict[str, Any]:
        encoded = [self._codec.encode(event, provenance) for event, provenance in told]
        return {
            "topics": [each.topic for each in encoded],
            "keys": [each.key for each in encoded],
            "values": [each.value for each in encoded],
            "headers": [pack_headers(each.headers) for each in encoded],
        }

    async def exceeds(self, connection: AsyncConnection, most: int) -> bool:
        """Tell whether more than `most` events wait to be published."""
        return bool((await connection.execute(_EXCEEDS, {"most": most})).scalar_one())
