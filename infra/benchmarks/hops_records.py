"""What the hops carry: a parcel that was weighed comes in, its price goes out, some 200 bytes of Avro each."""

from typing import Any

from exactly_once import Event
from exactly_once.codec import MAGIC, WIRE_HEADER
from exactly_once.envelope import Headers, Provenance, headers_of, shared_headers

PARCELS = 5_000
SENDER = "The Kettle Works, 12 Harbour Street, dock 4, 20457 Hamburg, Germany"
RECIPIENT = "Anna Andersson, Storgatan 7, third floor on the left, 111 23 Stockholm, Sweden"


class ParcelWeighed(Event, topic="weighed", key="parcel_id"):
    """Somebody put a parcel on the scales."""

    parcel_id: str
    number: int
    grams: int
    sender: str
    recipient: str


class PostagePriced(Event, topic="priced", key="parcel_id"):
    """What a parcel costs to send, in cents."""

    parcel_id: str
    number: int
    cents: int
    sender: str
    recipient: str


EVENTS: dict[int, type[Event]] = {1: ParcelWeighed, 2: PostagePriced}


class Schemas:
    """A registry of two schemas that everybody knows."""

    async def id_of(self, subject: str, schema: dict[str, Any]) -> int:  # noqa: ARG002  # one schema, one id
        """Return the id of a schema."""
        return next(number for number, event in EVENTS.items() if event.avro_schema() == schema)

    async def schema_of(self, schema_id: int) -> Any:
        """Return the schema with an id, None for an unknown one."""
        return EVENTS[schema_id].avro_schema() if schema_id in EVENTS else None


def weighed(number: int) -> dict[str, Any]:
    """Return the fields of an input."""
    parcel_id = f"parcel-{number % PARCELS}"
    grams = 100 + number % 900
    return {"parcel_id": parcel_id, "number": number, "grams": grams, "sender": SENDER, "recipient": RECIPIENT}


def cents(number: int) -> int:
    """Return what must come out for an input: by the reader's own arithmetic."""
    return 100 + (100 + number % 900) // 10


def headers(number: int) -> Headers:
    """Return the headers of an input, which every competitor hands on, or writes its own."""
    provenance = Provenance(f"weighed-{number}", f"journey-{number}", "scales")
    return headers_of(shared_headers("ParcelWeighed", "/bench"), provenance)


def wire_header(event: type[Event]) -> bytes:
    """Return what stands before the Avro of an event."""
    return WIRE_HEADER.pack(MAGIC, next(number for number, each in EVENTS.items() if each is event))
