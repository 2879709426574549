"""The codec when the registry is down, in the way of a proxy, or full of what others registered."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts import OrderPlaced
from exactly_once import Codec, Halted, KafkaSettings, Loop, Processor, Registry, Retryable
from exactly_once.batch import Partition, Record
from exactly_once.envelope import Headers, Provenance

pytestmark = pytest.mark.integration

KNOWN, UNKNOWN, PROTOBUF, TEXT, UNION, OTHER_FIELDS = range(1, 7)
NOT_JSON = 'syntax = "proto3";'


@dataclass
class RegistryStandIn:
    """Answers as the third party does, for as long as it is `up`; `proxy_answer` comes from something in between."""

    schemas: dict[int, str] = field(default_factory=dict)
    up: bool = True
    proxy_answer: web.Response | None = None
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        if not self.up:
            raise web.HTTPServiceUnavailable
        if self.proxy_answer is not None:
            return web.Response(status=self.proxy_answer.status, text=self.proxy_answer.text)
        if request.method == "POST":
            return self._id_of(json.loads(await request.text())["schema"])
        schema = self.schemas.get(int(request.path.rpartition("/")[2]))
        return web.json_response({"schema": schema}) if schema else self._unknown()

    def _id_of(self, schema: str) -> web.Response:
        found = [number for number, known in self.schemas.items() if known == schema]
        return web.json_response({"id": found[0]}) if found else self._unknown()

    def _unknown(self) -> web.Response:
        return web.json_response({"error_code": 40_403, "message": "Schema not found"}, status=404)


@pytest.fixture
async def stand_in() -> AsyncIterator[RegistryStandIn]:
    registry = RegistryStandIn({KNOWN: json.dumps(OrderPlaced.avro_schema())})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    registry.url = site.name
    yield registry
    await runner.cleanup()


async def opened(registry: Registry) -> Codec:
    return await Codec.open(registry, "/test", emits=[OrderPlaced], handles=[OrderPlaced], prefix="")


@pytest.fixture
async def codec(stand_in: RegistryStandIn) -> AsyncIterator[Codec]:
    async with Registry(stand_in.url) as registry:
        yield await opened(registry)


def a_record(value: bytes | None, headers: Headers = (("ce_id", b"e-1"),)) -> Record:
    return Record(Partition("orders", 0), 7, 0, b"anna", value, headers)


def of_schema(schema_id: int, body: bytes = b"") -> bytes:
    return struct.pack(">bI", 0, schema_id) + body


def why(codec: Codec, record: Record) -> str:
    entry = codec.decode(record)
    return f"{entry.rejection.kind}: {entry.rejection.why}" if entry.rejection else ""


async def test_a_registry_that_is_down_at_the_start_is_waited_for(stand_in: RegistryStandIn) -> None:
    stand_in.up = False
    async with Registry(stand_in.url) as registry:
        with pytest.raises(Retryable, match="does not answer"):
            await opened(registry)
        stand_in.up = True
        assert await opened(registry)


async def test_a_schema_that_was_never_registered_stops_the_start_with_a_sentence(stand_in: RegistryStandIn) -> None:
    stand_in.schemas.clear()
    async with Registry(stand_in.url) as registry:
        with pytest.raises(Halted, match="run `waybill provision`"):
            await opened(registry)


async def test_an_unknown_id_is_undecodable_only_when_the_registry_says_so(
    stand_in: RegistryStandIn, codec: Codec
) -> None:
    record = a_record(of_schema(UNKNOWN))
    stand_in.up = False
    with pytest.raises(Retryable, match="does not answer"):
        await codec.learn([record])
    stand_in.up = True
    await codec.learn([record])
    assert why(codec, record) == "undecodable: ValueError: the registry knows no schema 2"
    stand_in.schemas[UNKNOWN] = json.dumps({"type": "record", "name": "waybill.News", "fields": []})
    await codec.learn([record])  # registered meanwhile: the next record of the kind is asked about again
    assert why(codec, record) == ""


@pytest.mark.parametrize("answer", [web.Response(status=404, text="<html>no such page"), web.Response(text="hello")])
async def test_an_answer_that_is_not_the_registrys_makes_no_record_undecodable(
    stand_in: RegistryStandIn, codec: Codec, answer: web.Response
) -> None:
    stand_in.proxy_answer = answer
    with pytest.raises(Retryable, match="does not answer"):
        await codec.learn([a_record(of_schema(UNKNOWN))])


async def test_what_others_registered_is_undecodable_and_its_neighbours_pass(
    stand_in: RegistryStandIn, codec: Codec, an_order: Callable[[], OrderPlaced]
) -> None:
    stand_in.schemas |= {
        PROTOBUF: NOT_JSON,
        TEXT: '"string"',
        UNION: '["null", "string"]',
        OTHER_FIELDS: json.dumps({"type": "record", "name": "waybill.OrderPlaced", "fields": []}),
    }
    encoded = codec.encode(an_order(), Provenance("e-1", "e-1", "e-1"))
    good = a_record(encoded.value, encoded.headers)
    bad = {number: a_record(of_schema(number)) for number in (PROTOBUF, OTHER_FIELDS)}
    foreign = {number: a_record(of_schema(number, b"\x00")) for number in (TEXT, UNION)}
    await codec.learn([good, *bad.values(), *foreign.values()])
    assert codec.decode(good).event is not None
    assert "its schema is no Avro" in why(codec, bad[PROTOBUF])
    assert "No default value for field" in why(codec, bad[OTHER_FIELDS])
    assert [why(codec, record) for record in foreign.values()] == ["", ""], "no type that is handled here: skipped"


async def test_ids_that_no_claim_can_hold_and_headers_without_a_value_are_undecodable(
    codec: Codec, an_order: Callable[[], OrderPlaced]
) -> None:
    value = codec.encode(an_order(), Provenance("e-1", "e-1", "e-1")).value
    await codec.learn([a_record(value)])
    assert why(codec, a_record(value)) == ""
    for headers in ((), (("ce_id", None),), (("ce_id", b""),), (("ce_id", b"a\0b"),), (("ce_id", b"x" * 201),)):
        entry = codec.decode(a_record(value, headers))
        assert entry.rejection is not None, headers
        assert entry.event_id == "orders/0/7"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(body=st.binary(max_size=200), keep=st.integers(0, 120))
async def test_no_bytes_make_the_decoder_raise(
    codec: Codec, an_order: Callable[[], OrderPlaced], body: bytes, keep: int
) -> None:
    whole = codec.encode(an_order(), Provenance("e-1", "e-1", "e-1")).value
    broken = [a_record(each) for each in (body, of_schema(KNOWN, body), whole + b"\0")]
    mended = a_record(whole[: 5 + keep] + body)  # by chance an order again, with another time, say
    await codec.learn(record for record in [*broken, mended] if record.value and record.value[:5] == of_schema(KNOWN))
    assert all(codec.decode(record).rejection for record in broken)
    entry = codec.decode(mended)
    assert (entry.event is None) != (entry.rejection is None)


class Nothing:
    @classmethod
    async def load(cls, connection: AsyncConnection, events: Any) -> Self:
        return cls()

    async def save(self, connection: AsyncConnection) -> None:
        return


@pytest.fixture
def loop(codec: Codec, engine_of: Callable[[str], AsyncEngine], kafka_of: Callable[[str], KafkaSettings]) -> Loop:
    processor = Processor("inventory")

    @processor.handles(OrderPlaced)
    def ignore(order: OrderPlaced, nothing: Nothing) -> None:
        """Do nothing."""

    return Loop(processor, engine=engine_of("inventory"), kafka=kafka_of("inventory"), codec=codec)


async def test_a_loop_waits_for_the_registry_instead_of_burying_what_it_can_not_ask_about(
    stand_in: RegistryStandIn,
    loop: Loop,
    send: Callable[..., None],
    visible: Callable[[str], list[Record]],
    eventually: Callable[..., Awaitable[None]],
) -> None:
    stand_in.up = False
    send("orders", b"anna", of_schema(UNKNOWN), [("ce_id", b"e-1")])
    task = asyncio.create_task(loop.run())
    try:
        await eventually(lambda: "schema registry" in (loop.health() or ""))
        assert visible("inventory.dead-letters") == []
        stand_in.up = True
        await eventually(lambda: len(visible("inventory.dead-letters")) == 1)
        await eventually(lambda: loop.health() is None)
    finally:
        await loop.stop()
        await asyncio.wait({task})  # on a busy machine a stop may have to cut it off
        assert task.cancelled() or task.exception() is None
