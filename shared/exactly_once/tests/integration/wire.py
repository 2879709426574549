"""What may happen to a request between a client and its broker, one incident at a time, on real connections."""

import asyncio
import io
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection, CloseReason

PRODUCE, METADATA, FIND_COORDINATOR = 0, 3, 10
ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT = 24, 25, 26, 28


class _Stalled:
    """In a writer's place: what is written stays on its way, and so does the client's farewell."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.writer, self.reader = connection._writer, connection._reader
        self.on_its_way = bytearray()

    def write(self, data: bytes) -> None:
        self.on_its_way += data

    def close(self) -> None:
        self._connection._closed_fut = asyncio.get_running_loop().create_future()
        self._connection._closed_fut.set_result(None)


@dataclass
class Incident:
    """Befalls the next request of an API."""

    api: int
    how: str
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    _stalled: Any = None
    _request: Any = None

    def befall(self, connection: Any, send: Any, request: Any) -> Any:
        """Send the request as far as it gets; return what waits for its answer."""
        if self.how == "hold":
            self._stalled = connection._writer = _Stalled(connection)
        answer = send(connection, request)
        self._request = connection._requests[-1][1]
        if self.how == "lose":
            connection._read_task.cancel()
        if self.how == "cut":
            connection.close(CloseReason.CONNECTION_BROKEN)
        self.happened.set()
        return answer

    async def release(self) -> Any:
        """Let what was held arrive, on the same connection, byte for byte; return the broker's answer to it."""
        self._stalled.writer.write(bytes(self._stalled.on_its_way))
        size = int.from_bytes(await self._stalled.reader.readexactly(4), "big")
        answer = io.BytesIO(await self._stalled.reader.readexactly(size))
        self._request.parse_response_header(answer)
        return self._request.RESPONSE_TYPE.decode(answer)

    def close(self) -> None:
        if self._stalled is not None:
            self._stalled.writer.close()


class Wire:
    """The connections of aiokafka's clients in this process whose ids begin with `whose`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
        self._awaited: list[Incident] = []
        self._all: list[Incident] = []
        send = AIOKafkaConnection.send

        def passing(connection: Any, request: Any, expect_response: bool = True) -> Any:  # noqa: FBT001, FBT002  # aiokafka's
            for incident in self._awaited:
                if incident.api == request.API_KEY and connection._client_id.startswith(whose):
                    self._awaited.remove(incident)
                    return incident.befall(connection, send, request)
            return send(connection, request, expect_response)

        monkeypatch.setattr(AIOKafkaConnection, "send", passing)

    def hold(self, api: int) -> Incident:
        """Let the next request of this API come no further, and nothing behind it, until it is released."""
        return self._expect(Incident(api, "hold"))

    def lose(self, api: int) -> Incident:
        """Let the next request of this API arrive, and its answer never."""
        return self._expect(Incident(api, "lose"))

    def cut(self, api: int) -> Incident:
        """Let the connection break behind the next request of this API."""
        return self._expect(Incident(api, "cut"))

    def close(self) -> None:
        """Let nothing more happen."""
        self._awaited.clear()
        for incident in self._all:
            incident.close()

    def _expect(self, incident: Incident) -> Incident:
        self._awaited.append(incident)
        self._all.append(incident)
        return incident
