"""The loop by hand once more, and what it decodes and encodes is what the library does, by the library's own codec.

Checked events instead of dictionaries, and CloudEvents headers of its own with an id that is the same on every attempt.
What the library does more than this is its loop. Nothing of it is here: no fence, no dead letters, no recovery.
"""

import gc
from collections.abc import Sequence
from typing import Any

import uvloop
from by_hand import YOUNG_OBJECTS, Hop
from hops_records import ParcelWeighed, PostagePriced, Schemas
from lane import Lane
from processors import answer

from exactly_once import Codec
from exactly_once.batch import Partition, Record
from exactly_once.envelope import CORRELATION_ID, Headers, Provenance, output_id, text_header


class EventHop(Hop):
    """A hop of events."""

    def __init__(self, lane: Lane, codec: Codec) -> None:
        super().__init__(lane)
        self._codec = codec

    async def _send(self, records: Sequence[Any]) -> list[Any]:
        source = Partition(ParcelWeighed.topic, records[0].partition)
        found = [
            Record(source, each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in records
        ]
        await self._codec.learn(found[:1])  # all of them have one schema
        send, output = self._producer.send, self._lane.output
        hops = map(self._hop, found)
        return [await send(output, value, key, headers=list(headers)) for key, value, headers in hops]

    def _hop(self, record: Record) -> tuple[bytes, bytes, Headers]:
        """Return the key, the value and the headers of what answers a record."""
        entry = self._codec.decode(record)
        if not isinstance(entry.event, ParcelWeighed):
            raise TypeError(f"no {ParcelWeighed.__name__}: {entry}")
        event_id = output_id(self._lane.group, entry.event_id, 0)
        correlation_id = text_header(record.headers, CORRELATION_ID)
        encoded = self._codec.encode(answer(entry.event), Provenance(event_id, correlation_id, entry.event_id))
        return encoded.key, encoded.value, encoded.headers


async def main() -> None:
    """Run as the lane says."""
    codec = await Codec.open(Schemas(), "/bench", emits=[PostagePriced], handles=[ParcelWeighed], prefix="")
    hop = EventHop(Lane.told(), codec)
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    await hop.run()


if __name__ == "__main__":
    uvloop.run(main())
