"""HTTP's way in: an event is committed with the change that it tells of, and published by the relay."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once.codec import Codec
from exactly_once.envelope import Provenance, pack_headers
from exactly_once.event import Event


def insertion(condition: str) -> str:
    """Return the SQL that puts an event where a condition holds; `Outbox.row` gives its parameters.

    It is a part of a statement that changes what the event tells of: both are one round trip.
    """
    return f"""
INSERT INTO outbox (out_topic, key, value, headers)
SELECT CAST(:out_topic AS text), CAST(:out_key AS bytea), CAST(:out_value AS bytea), CAST(:out_headers AS bytea)
WHERE {condition}"""  # the condition is a caller's constant


_PUT = text("""
INSERT INTO outbox (out_topic, key, value, headers)
SELECT o.out_topic, o.key, o.value, o.headers
FROM unnest(CAST(:topics AS text[]), CAST(:keys AS bytea[]), CAST(:values AS bytea[]), CAST(:headers AS bytea[]))
    WITH ORDINALITY AS o(out_topic, key, value, headers, place)
ORDER BY o.place""")
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
        await self.put_as(connection, [(event, _as_new(correlation_id, traceparent)) for event in events])

    async def put_as(self, connection: AsyncConnection, told: Sequence[tuple[Event, Provenance]]) -> None:
        """Insert events whose ids the caller chose, as `put` does: one that is put again is processed once."""
        encoded = [self._codec.encode(event, provenance) for event, provenance in told]
        columns = {
            "topics": [each.topic for each in encoded],
            "keys": [each.key for each in encoded],
            "values": [each.value for each in encoded],
            "headers": [pack_headers(each.headers) for each in encoded],
        }
        await connection.execute(_PUT, columns)

    def row(self, event: Event, *, correlation_id: str, traceparent: str = "") -> dict[str, Any]:
        """Return the parameters of an `insertion` of this event: no lists, which the driver looks at each item of."""
        encoded = self._codec.encode(event, _as_new(correlation_id, traceparent))
        return {
            "out_topic": encoded.topic,
            "out_key": encoded.key,
            "out_value": encoded.value,
            "out_headers": pack_headers(encoded.headers),
        }

    async def exceeds(self, connection: AsyncConnection, most: int) -> bool:
        """Tell whether more than `most` events wait to be published."""
        return bool((await connection.execute(_EXCEEDS, {"most": most})).scalar_one())


def _as_new(correlation_id: str, traceparent: str) -> Provenance:
    event_id = str(uuid.uuid4())
    return Provenance(event_id, correlation_id, event_id, traceparent)
