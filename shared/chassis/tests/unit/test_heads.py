"""What nobody has authenticated yet is bounded: the bytes of a request's head, and the time that it may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from chassis import heads
from chassis.heads import BoundedHeads

FIRST = b"POST /orders HTTP/1.1\r\nHost: shop\r\n"
LONG = b"x" * (1 << 20)


async def tell_the_size(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with how many bytes the values of a request's headers have; it takes longer for /slow."""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    body = b"%d" % sum(len(value) for name, value in scope["headers"] if name == b"x")
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Connection:
    """A client's side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, *pieces: bytes) -> None:
        self._writer.write(b"".join(pieces))

    async def sizes(self, answers: int) -> list[int]:
        """Return what was answered so many times."""
        found = []
        for _ in range(answers):
            head = await self._reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            found.append(int(await self._reader.readexactly(length)))
        return found

    async def rest(self) -> bytes:
        """Return all that comes until the server closes; it may do so while we write."""
        found = b""
        try:
            while some := await self._reader.read(1 << 16):
                found += some
        except ConnectionError:
            pass
        return found


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    config = uvicorn.Config(tell_the_size, log_config=None, lifespan="off", timeout_keep_alive=1)
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: BoundedHeads(config, state, {}), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        async with asyncio.timeout(10):
            yield Connection(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [FIRST + b"X: " + LONG, b"GET /" + LONG, FIRST + b"X: 1\r\n" * (LONG.count(b"x") // 6), b"\r\n" * (1 << 19)],
    ids=["a value", "an address", "headers", "empty lines"],
)
async def test_a_head_without_an_end_is_refused(address: tuple[str, int], sent: bytes) -> None:
    async with connected(address) as connection, asyncio.timeout(3):
        connection.send(sent)
        answer = await connection.rest()
    assert answer[:13] in {b"", b"HTTP/1.1 431 "}


async def test_who_sent_too_large_a_head_and_listens_is_told_so(address: tuple[str, int]) -> None:
    async with connected(address) as connection, asyncio.timeout(3):
        connection.send(FIRST, b"X: ", LONG[: heads.MOST_BYTES])
        assert (await connection.rest()).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_a_whole_head_that_is_too_large_is_refused(address: tuple[str, int]) -> None:
    async with connected(address) as connection, asyncio.timeout(3):
        connection.send(FIRST, b"X: ", LONG[: heads.MOST_BYTES + heads.PIECE], b"\r\n\r\n")
        assert b" 200 " not in await connection.rest()


async def test_trailers_without_an_end_are_refused_though_the_request_is_answered(address: tuple[str, int]) -> None:
    async with connected(address) as connection:
        connection.send(FIRST, b"Transfer-Encoding: chunked\r\n\r\n")
        assert await connection.sizes(1) == [0]
        connection.send(b"0\r\nX: ", LONG)
        async with asyncio.timeout(3):
            await connection.rest()


async def test_a_large_head_and_a_larger_body_are_read(address: tuple[str, int]) -> None:
    async with connected(address) as connection:
        connection.send(FIRST, b"X: ", LONG[:30_000], b"\r\nContent-Length: %d\r\n\r\n" % len(LONG), LONG)
        connection.send(FIRST, b"X: ", LONG[:20_000], b"\r\n\r\n")
        assert await connection.sizes(2) == [30_000, 20_000]


@pytest.mark.parametrize("pipelined", [True, False])
async def test_what_one_request_had_is_not_counted_against_the_next(
    address: tuple[str, int], *, pipelined: bool
) -> None:
    async with connected(address) as connection:
        request = FIRST + b"X: " + LONG[:40_000] + b"\r\n\r\n"
        connection.send(request * (2 if pipelined else 1))
        assert await connection.sizes(2 if pipelined else 1) == [40_000] * (2 if pipelined else 1)
        connection.send(request)
        assert await connection.sizes(1) == [40_000]


@pytest.mark.parametrize("before", [0, 1])
async def test_a_head_that_stops_in_the_middle_is_waited_for_until_its_deadline(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(heads, "WITHIN_S", 0.2)
    async with connected(address) as connection:
        connection.send((FIRST + b"\r\n") * before)
        await connection.sizes(before)
        async with asyncio.timeout(3):
            for letter in b"GET /":  # slowly, it goes on for ever
                connection.send(bytes([letter]))
                await asyncio.sleep(0.02)
            assert await connection.rest() == b""


async def test_a_head_that_comes_in_time_has_no_deadline_any_more(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "WITHIN_S", 0.5)
    async with connected(address) as connection:
        for _ in range(2):
            connection.send(b"GET /slow HTTP/1.1\r\n")
            await asyncio.sleep(0.1)
            connection.send(b"\r\n")
            assert await connection.sizes(1) == [0]
            await asyncio.sleep(0.3)


async def test_a_request_under_way_is_answered_whatever_comes_behind_it(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "WITHIN_S", 0.1)
    async with connected(address) as connection:
        connection.send(b"GET /slow HTTP/1.1\r\n\r\nGET /")
        assert await connection.sizes(1) == [0]


async def test_a_refusal_is_not_taken_for_the_answer_to_a_request_under_way(address: tuple[str, int]) -> None:
    async with connected(address) as connection:
        connection.send(b"GET /slow HTTP/1.1\r\n\r\nGET /", LONG)
        assert b" 431 " not in await connection.rest()


@pytest.mark.parametrize("said", [b"", FIRST + b"\r\n"])
async def test_a_connection_on_which_nothing_is_asked_ends_as_one_between_two_requests(
    address: tuple[str, int], said: bytes
) -> None:
    async with connected(address) as connection:
        connection.send(said)
        await connection.sizes(1 if said else 0)
        async with asyncio.timeout(4):
            assert await connection.rest() == b""
