"""Connections on loan: in turns, and in bounded time whatever happens to the database."""

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.at_hand import driver_of
from chassis.turns import Turns

WAIT_S = 1.0  # for a connection, be it free or new: whoever waits longer is told to come again
LONGEST_S = 1.5  # that a request may hold one


class Lender(Protocol):
    """Where connections come from, and go back to."""

    @property
    def has_one(self) -> bool:
        """Tell whether `connect` would return at once."""

    async def connect(self) -> AsyncConnection:
        """Return a connection."""

    async def take_back(self, connection: AsyncConnection) -> None:
        """Take one back that is as it was lent."""


class Loan(AbstractAsyncContextManager[AsyncConnection]):
    """A connection, lent once: while a block takes, at most for LONGEST_S. PoolTimeoutError: it would come too late.

    A class, and no clock where nothing is waited for: else lending would cost a request more than its statement does.
    """

    def __init__(self, lender: Lender, turns: Turns, *, is_request: bool = True) -> None:
        """Lend to a request only where the queue is short; what the service asks for itself waits in any."""
        self._lender, self._turns, self._is_request = lender, turns, is_request

    async def __aenter__(self) -> AsyncConnection:
        if self._is_request and self._turns.is_long:
            raise PoolTimeoutError(f"{self._turns.waiting} requests wait for a connection already")
        if self._lender.has_one and self._turns.are_free:
            self._connection = await self._in_turn()
        else:
            async with asyncio.timeout(WAIT_S):
                self._connection = await self._in_turn()
        loop = asyncio.get_running_loop()
        self._cut = loop.call_later(LONGEST_S, driver_of(self._connection).terminate)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:  # there is nothing to roll back, and so to wait for
            await self._end_turn(self._lender.take_back(self._connection))
        else:
            await asyncio.shield(self._end_turn(self._connection.close()))

    async def _in_turn(self) -> AsyncConnection:
        await self._turns.take()
        try:
            return await self._lender.connect()
        except BaseException:
            self._turns.give_back()
            raise

    async def _end_turn(self, given_back: Awaitable[None]) -> None:
        try:
            await given_back
        finally:
            self._cut.cancel()
            self._turns.give_back()
