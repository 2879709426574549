"""Every right in PostgreSQL, tried by every role: what SECURITY.md says is allowed, and nothing else is."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg
import pytest

from contracts import AUDITOR, OPERATOR, SERVICES
from waybill import provision
from waybill.local import shop
from waybill.stack import Stack

pytestmark = pytest.mark.integration

REFUSED = asyncpg.InsufficientPrivilegeError
OF_OTHER_TESTS = ("faults_", "exactly_once_test_", "saga_")  # who makes a database by itself lets everybody in
REGISTRY = "registry"
OWNERS = (*SERVICES, shop.GATEWAY_SERVICE)
ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
DONE_TO_TABLES = {
    "SELECT": "SELECT FROM {table} LIMIT 0",
    "INSERT": "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE": 'UPDATE {table} SET "{column}" = DEFAULT WHERE false',
    "DELETE": "DELETE FROM {table} WHERE false",
    "TRUNCATE": "TRUNCATE {table}",
    "ALTER": "ALTER TABLE {table} ADD extra int",
    "DROP": "DROP TABLE {table}",
    "INDEX": 'CREATE INDEX ON {table} ("{column}")',
    "TRIGGER": "CREATE TRIGGER extra BEFORE DELETE ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
}
DONE_TO_THE_SERVER = (
    "CREATE TABLE extra (id int)",
    "CREATE TEMPORARY TABLE extra (id int)",
    "CREATE SCHEMA extra",
    "CREATE DATABASE extra",
    "CREATE ROLE extra",
    "CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE PUBLICATION extra",
    "ALTER ROLE operator PASSWORD 'extra'",
    "ALTER SYSTEM SET fsync = off",
    "SET ROLE operator",
    "SET SESSION AUTHORIZATION operator",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "SELECT pg_read_file('pg_hba.conf')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_reload_conf()",
    "SELECT pg_create_physical_replication_slot('extra')",
)
# What the catalogue says of roles that can't even connect: rights that would wait for them.
HELD = """
SELECT r.rolname, c.relname, p.privilege
FROM pg_roles r, pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER',
                                          'MAINTAIN']) AS p(privilege)
WHERE NOT r.rolsuper AND r.rolname NOT LIKE 'pg\\_%' AND c.relnamespace = 'public'::regnamespace
  AND c.relkind IN ('r', 'p', 'v', 'm') AND has_table_privilege(r.oid, c.oid, p.privilege)"""
TABLES = """
SELECT c.relname, (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum = 1) AS first
FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"""


class Right(NamedTuple):
    """A verb, and the table that it is done to."""

    verb: str
    table: str


async def connect(stack: Stack, database: str, role: str) -> "asyncpg.Connection[Any]":
    """Connect as a logical role to a database under its real name."""
    dsn = stack.postgres_dsn("postgres", role).rpartition("/")[0]
    return await asyncpg.connect(f"{dsn}/{database}", ssl=False)


async def let_into(stack: Stack, role: str, databases: Iterable[str]) -> set[str]:
    """Return the databases that a role is let into; one after the other, since a role has few connections."""
    open_to_it = set()
    for database in databases:
        with suppress(REFUSED):
            await (await connect(stack, database, role)).close()
            open_to_it.add(database)
    return open_to_it


async def is_refused(connection: "asyncpg.Connection[Any]", statement: str) -> bool:
    """Try a statement, and take it back."""
    undone = connection.transaction()
    await undone.start()
    try:
        await connection.execute(statement)
    except REFUSED:
        return True
    except asyncpg.PostgresError:
        return False
    finally:
        await undone.rollback()
    return False


async def allowed(stack: Stack, database: str, role: str) -> set[Right]:
    """Return what a role may do to the tables of a database."""
    operator = await connect(stack, stack.names.database(database), OPERATOR)
    tables = {row["relname"]: row["first"] for row in await operator.fetch(TABLES)}
    await operator.close()
    connection = await connect(stack, stack.names.database(database), role)
    await connection.execute("SET default_transaction_read_only = off")
    rights = set()
    for table, column in tables.items():
        for verb, statement in DONE_TO_TABLES.items():
            if not await is_refused(connection, statement.format(table=f'public."{table}"', column=column)):
                rights.add(Right(verb, table))
    await connection.close()
    assert tables
    return rights


async def test_a_role_is_let_into_its_own_database_and_the_auditor_into_every_services(migrated_stack: Stack) -> None:
    names = migrated_stack.names
    operator = await connect(migrated_stack, "postgres", OPERATOR)
    found = await operator.fetch("SELECT datname FROM pg_database WHERE datallowconn")
    databases = [row["datname"] for row in found if not row["datname"].startswith(OF_OTHER_TESTS)]
    may = "SELECT datname FROM unnest($1::text[]) d(datname) WHERE has_database_privilege($2, datname, 'CONNECT')"
    of_registry = await operator.fetch(
        may, databases, REGISTRY
    )  # which has taken all connections that its role may have
    await operator.close()
    assert [row["datname"] for row in of_registry] == [REGISTRY]
    roles = (*OWNERS, AUDITOR)
    let_in = await asyncio.gather(*(let_into(migrated_stack, role, databases) for role in roles))
    expected = {owner: {names.database(owner)} for owner in OWNERS}
    every_services = {names.database(owner) for owner in OWNERS}
    assert dict(zip(roles, let_in, strict=True)) == expected | {AUDITOR: every_services}


async def test_in_postgresql_a_role_may_do_what_this_page_says_and_nothing_else(migrated_stack: Stack) -> None:
    pairs = [(owner, role) for owner in OWNERS for role in (owner, AUDITOR)]
    found = await asyncio.gather(*(allowed(migrated_stack, *pair) for pair in pairs))
    verbs = {pair: {right.verb for right in rights} for pair, rights in zip(pairs, found, strict=True)}
    assert verbs == {(owner, role): {"SELECT"} if role == AUDITOR else set(ROWS) for owner, role in pairs}


@pytest.mark.parametrize("role", [*OWNERS, AUDITOR])
async def test_a_role_changes_nothing_but_rows(migrated_stack: Stack, role: str) -> None:
    database = migrated_stack.names.database("checkout" if role == AUDITOR else role)
    connection = await connect(migrated_stack, database, role)
    await connection.execute("SET default_transaction_read_only = off")
    done = []
    for statement in DONE_TO_THE_SERVER:
        with suppress(REFUSED):
            await connection.execute(statement)
            done.append(statement)
    await connection.close()
    assert done == []


async def held(stack: Stack, owners: Iterable[str] = OWNERS) -> set[tuple[str, str, str]]:
    """Return every right to a table, as the catalogue has it: the database, the role, the privilege."""
    rights = set()
    for owner in owners:
        operator = await connect(stack, stack.names.database(owner), OPERATOR)
        rights |= {(owner, row["rolname"], row["privilege"]) for row in await operator.fetch(HELD)}
        await operator.close()
    return rights


def expected(stack: Stack) -> set[tuple[str, str, str]]:
    rows = {(owner, stack.names.role(owner), verb) for owner in OWNERS for verb in ROWS}
    return rows | {(owner, stack.names.role(AUDITOR), "SELECT") for owner in OWNERS}


async def test_a_grant_too_many_in_postgresql_is_found(migrated_stack: Stack) -> None:
    names = migrated_stack.names
    assert await held(migrated_stack) == expected(migrated_stack)
    operator = await connect(migrated_stack, names.database("accounting"), OPERATOR)
    await operator.execute(f"GRANT SELECT ON payments TO {names.role('fulfillment')}")
    await operator.execute(f"GRANT TRUNCATE ON payments TO {names.role('accounting')}")
    await operator.execute(f"GRANT CONNECT ON DATABASE {names.database('accounting')} TO {names.role('fulfillment')}")
    await operator.close()
    extra = await held(migrated_stack) - expected(migrated_stack)
    tried = await allowed(migrated_stack, "accounting", "accounting")
    let_in = await let_into(migrated_stack, "fulfillment", [names.database("accounting")])
    await provision.apply(migrated_stack)
    assert extra == {
        ("accounting", names.role("fulfillment"), "SELECT"),
        ("accounting", names.role("accounting"), "TRUNCATE"),
    }
    assert Right("TRUNCATE", "payments") in tried
    assert let_in
