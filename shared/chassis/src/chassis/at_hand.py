"""Connections that ran statements by the driver alone, and are lent again as they are.

SQLAlchemy's pool takes some 60 µs of CPU to lend a connection and to take it back, twice what its statement costs.
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


def driver_of(connection: AsyncConnection) -> Any:
    """Return the driver's own connection beneath an open one (an asyncpg.Connection)."""
    return connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]  # it is open


class AtHand:
    """Lends connections of an engine's pool in AUTOCOMMIT, and keeps what comes back; the last is lent again first.

    The pool counts what is kept here as lent. Whoever takes one from the pool itself makes room before: while no more
    are lent at once than the pool holds, nobody then waits for one that lies idle here.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")  # no BEGIN or COMMIT to wait for
        self._idle: list[AsyncConnection] = []

    @property
    def has_one(self) -> bool:
        """Tell whether `connect` would return at once."""
        return bool(self._idle) and not driver_of(self._idle[-1]).is_closed()

    async def connect(self) -> AsyncConnection:
        """Return a connection that is open, as far as the driver knows."""
        while self._idle:
            connection = self._idle.pop()
            if not driver_of(connection).is_closed():
                return connection
            await connection.close()
        return await self._engine.connect()

    async def make_room(self) -> None:
        """Give the pool one back, if any is here."""
        if self._idle:
            await self._idle.pop().close()

    async def take_back(self, connection: AsyncConnection) -> None:
        """Keep a connection that is as it was lent; the pool gets one in which SQLAlchemy has begun something."""
        driver = driver_of(connection)
        if driver.is_closed() or driver.is_in_transaction():  # of no more use: the pool opens another one
            await connection.invalidate()
        if connection.invalidated or connection.in_transaction():
            await connection.close()
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        """Give the pool everything back."""
        while self._idle:
            await self._idle.pop().close()
