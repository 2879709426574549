"""Bounds what a connection may send before anybody knows who asks: uvicorn keeps a head of any size, for any time.

A request's body is bounded behind this, by the edge; its head is complete before the edge hears of it.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 64 << 10
PIECE = 16 << 10  # what the parser is given at once, so that it is known to a piece how much of it is a head
WITHIN_S = 10.0
REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedHeads(HttpToolsProtocol):
    """Ends a connection whose request has a head of more than 64 KiB (a piece more at most), or none after ten seconds.

    Trailers are bounded likewise. A connection between two requests ends as uvicorn says, and so does one without any.
    """

    _unheard = 0  # bytes since something came of them: a head, or a part of a body
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as there
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._forget_deadline()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand on what came, unless it is too much."""
        for start in range(0, len(data), PIECE):  # mostly one
            piece = data[start : start + PIECE]
            self._unheard += len(piece)
            super().data_received(piece)
            if self.transport.is_closing():
                return
            if self._unheard > MOST_BYTES:
                self._refuse()
                return
        if not self._is_asked():
            self._wait()

    def on_headers_complete(self) -> None:
        """Take up a request: its head has come in time."""
        self._unheard = 0
        self._forget_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take up a part of a body."""
        self._unheard = 0
        super().on_body(body)

    def _is_asked(self) -> bool:
        """Tell whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        """See to it that a connection on which no request is under way ends some time."""
        if self._unheard == 0:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif self._deadline is None:
            self._deadline = self.loop.call_later(WITHIN_S, self.timeout_keep_alive_handler)

    def _refuse(self) -> None:
        if not self._is_asked():  # else it would be taken for the answer to what is under way
            self.transport.write(REFUSAL)
        self.transport.close()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
