"""The wire between checkout and its database, on which what commits an order, or the answer to it, gets lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Wire:
    """A proxy on loopback; `lose` says what is lost next: the `at`th statement of a connection that speaks of `whose`.

    "the commit", "its answer" (the connection breaks), or "every word" (no answer ever comes, the connection stays).
    """

    server_port: int
    port: int = 0
    lose: str = ""
    whose: str = ""
    at: int = 2  # the first asks for prices, where none are remembered
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    _both_ways: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what a client and its server say to each other."""
        task = asyncio.current_task()
        assert task is not None
        self._both_ways.add(task)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        muted = asyncio.Event()
        answers = asyncio.create_task(self._answers(server_reader, writer, muted))
        ours = 0
        try:
            while words := await reader.read(1 << 16):
                ours += bool(self.whose and self.whose.encode() in words)
                if ours == self.at and self.lose:
                    muted.set()
                    lose, self.lose = self.lose, ""
                    if lose != "the commit":
                        server_writer.write(words)
                        await server_writer.drain()
                        await asyncio.sleep(0.2)  # the server takes it
                    self.lost.set()
                    if lose != "every word":
                        return
                else:
                    server_writer.write(words)
        finally:
            answers.cancel()
            for each in (writer, server_writer):
                each.close()
            self._both_ways.discard(task)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, muted: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while words := await reader.read(1 << 16):
                if not muted.is_set():
                    writer.write(words)
            writer.close()

    async def close(self) -> None:
        """Hang up."""
        for task in list(self._both_ways):
            task.cancel()
        if self._both_ways:
            await asyncio.wait(self._both_ways)


@asynccontextmanager
async def wire_to(server_port: int) -> AsyncIterator[Wire]:
    """Yield a wire to a server on loopback."""
    wire = Wire(server_port)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
