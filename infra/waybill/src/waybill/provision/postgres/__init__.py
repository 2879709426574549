"""PostgreSQL's part: databases, roles, privileges."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg

from contracts import OPERATOR
from waybill import secrets
from waybill.errors import UsageError
from waybill.provision.changes import Plan
from waybill.provision.postgres.catalogue import read
from waybill.provision.postgres.desired import desired_state
from waybill.provision.postgres.difference import PostgresDifference, Step, difference
from waybill.stack import Stack

MAINTENANCE_DATABASE = "postgres"
# A verifier is no password, and yet nothing for a log.
QUIET = {"log_statement": "none", "log_min_duration_statement": "-1", "log_min_error_statement": "panic"}
TIMEOUT_S = 10.0


class Server:
    """The PostgreSQL server of a stack, as its operator."""

    def __init__(self, stack: Stack, *, may_make_secrets: bool) -> None:
        self._stack = stack
        self._may_make_secrets = may_make_secrets

    def password(self, role: str) -> str:
        """Return a role's password; one that is missing is made, or empty in a server that only looks."""
        name = f"postgres-{role}"
        if self._may_make_secrets or secrets.path_of(self._stack.home, name).exists():
            return secrets.ensure(self._stack.home, name)
        return ""

    def connect(self, database: str) -> AbstractAsyncContextManager["asyncpg.Connection[asyncpg.Record]"]:
        """Open a connection to a database, under PostgreSQL's name for it. UsageError: no answer."""
        return self._connection(database)

    @asynccontextmanager
    async def _connection(self, database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        try:
            connection = await asyncpg.connect(
                host=self._stack.postgres_host,
                port=self._stack.postgres_port,
                user=OPERATOR,
                password=self._stack.secret(f"postgres-{OPERATOR}"),
                database=database,
                timeout=TIMEOUT_S,
                command_timeout=TIMEOUT_S,
                server_settings=QUIET,
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise UsageError(f"PostgreSQL does not let the operator in: is the stack up? ({error})") from error
        try:
            yield connection
        finally:
            await connection.close()

    async def difference(self) -> PostgresDifference:
        """Compare what there is with what the contracts want."""
        actual = await read(self.connect, self._stack.names, self.password)
        return difference(desired_state(self._stack.names, actual), actual, self.password)

    async def run(self, steps: Iterable[Step]) -> None:
        """Run statements, those of one database in one transaction, all databases at once."""
        scripts: dict[str, list[str]] = defaultdict(list)
        for step in steps:
            scripts[step.database or MAINTENANCE_DATABASE].append(step.statement)
        await asyncio.gather(*(self._script(name, statements) for name, statements in scripts.items()))

    async def _script(self, database: str, statements: list[str]) -> None:
        async with self.connect(database) as connection:
            await connection.execute("; ".join(statements))  # one simple query: one transaction

    async def run_alone(self, steps: Iterable[Step]) -> None:
        """Run statements that refuse a transaction around them, each on a connection of its own."""
        await asyncio.gather(*(self._script(MAINTENANCE_DATABASE, [step.statement]) for step in steps))


async def plan_postgres(stack: Stack) -> Plan:
    """Return what differs in PostgreSQL."""
    return (await Server(stack, may_make_secrets=False).difference()).plan()


async def provision_postgres(stack: Stack) -> Plan:
    """Make databases, roles and privileges as the contracts say. Needs nothing but PostgreSQL."""
    server = Server(stack, may_make_secrets=True)
    differs = await server.difference()
    await server.run(differs.roles)
    await server.run_alone(differs.databases)
    await server.run(differs.privileges)
    return differs.plan()


__all__ = ["plan_postgres", "provision_postgres"]
