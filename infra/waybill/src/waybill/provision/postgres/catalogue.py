"""Reads roles, databases and privileges from PostgreSQL's catalogue."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from asyncpg import Connection, Record

from contracts import Names
from waybill.provision.postgres.desired import MAINTENANCE, OWNERS, REGISTRY, desired_roles
from waybill.provision.postgres.state import Database, Membership, PostgresState, Privilege, Role
from waybill.provision.postgres.verifier import verifies

Connect = Callable[[str], AbstractAsyncContextManager["Connection[Record]"]]

ROLES = """
SELECT r.*, a.rolpassword AS verifier, coalesce(s.setconfig, '{}') AS settings
  FROM pg_roles r JOIN pg_authid a USING (oid)
  LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
 WHERE r.rolname = ANY($1)
"""
MEMBERSHIPS = """
SELECT pg_get_userbyid(roleid) AS role, pg_get_userbyid(member) AS member
  FROM pg_auth_members WHERE pg_get_userbyid(roleid) = ANY($1) OR pg_get_userbyid(member) = ANY($1)
"""
DATABASES = "SELECT datname AS name, pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname = ANY($1)"
NAMED = "CASE it.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(it.grantee) END"
GRANTED = (
    f"{NAMED} AS grantee, it.privilege_type AS privilege, it.is_grantable AS grantable"  # of `it`, an exploded ACL
)
ON_DATABASES = f"""
SELECT 'database' AS kind, quote_ident(d.datname) AS "on", {GRANTED}
  FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) it
 WHERE d.datname = ANY($1) AND it.grantee <> d.datdba
"""  # noqa: S608 - constants of this module
OURS = r"n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'"
RELATION = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"
OBJECT = f"""CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, {RELATION} AS "on\""""
INSIDE = f"""
SELECT 'schema' AS kind, quote_ident(n.nspname) AS "on", {GRANTED}
  FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) it
 WHERE {OURS} AND it.grantee <> n.nspowner
UNION ALL
SELECT {OBJECT}, {GRANTED}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) it
 WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND it.grantee <> c.relowner
UNION ALL
SELECT 'column', {RELATION} || '/' || quote_ident(a.attname), {GRANTED}
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
       aclexplode(a.attacl) it
 WHERE {OURS} AND it.grantee <> c.relowner
UNION ALL
SELECT 'default', pg_get_userbyid(d.defaclrole) || '/' || coalesce(n.nspname, '') || '/' ||
       CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                            WHEN 'T' THEN 'types' ELSE 'schemas' END, {GRANTED}
  FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) it
 WHERE it.grantee <> d.defaclrole
"""  # noqa: S608 - constants of this module
OBJECTS = f"""
SELECT {OBJECT}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
"""  # noqa: S608 - constants of this module
ATTRIBUTES = {
    "rolcanlogin": "LOGIN",
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}


async def read(connect: Connect, names: Names, password: Callable[[str], str]) -> PostgresState:
    """Return what a namespace has; `password` gives a role's, to be compared with what is stored."""
    roles = list(desired_roles(names))
    databases = [*map(names.database, OWNERS), names.database(REGISTRY)]
    async with connect("postgres") as server:
        found_roles = await server.fetch(ROLES, roles)
        memberships = await server.fetch(MEMBERSHIPS, roles)
        found = {row["name"]: row["owner"] for row in await server.fetch(DATABASES, databases)}
        on_databases = await server.fetch(ON_DATABASES, [*databases, *MAINTENANCE])
    inside = await asyncio.gather(*(_database(connect, name, owner) for name, owner in found.items()))
    return PostgresState(
        roles={row["rolname"]: _role(row, password) for row in found_roles},
        databases=dict(zip(found, inside, strict=True)),
        privileges=_privileges(on_databases),
        memberships=frozenset(Membership(row["role"], row["member"]) for row in memberships),
    )


async def _database(connect: Connect, name: str, owner: str) -> Database:
    async with connect(name) as connection:
        privileges = await connection.fetch(INSIDE)
        # Apicurio's tables are its own business: nothing is granted on them
        objects = [] if name == REGISTRY else await connection.fetch(OBJECTS)
    return Database(owner, _privileges(privileges), frozenset((row["kind"], row["on"]) for row in objects))


def _role(row: Record, password: Callable[[str], str]) -> Role:
    return Role(
        attributes=frozenset(word if row[column] else f"NO{word}" for column, word in ATTRIBUTES.items()),
        connection_limit=row["rolconnlimit"],
        settings=frozenset(row["settings"]),
        password_is_ours=verifies(row["verifier"], password(row["rolname"])),
    )


def _privileges(rows: Iterable[Record]) -> frozenset[Privilege]:
    return frozenset(
        Privilege(row["kind"], row["on"], row["grantee"], row["privilege"], row["grantable"]) for row in rows
    )
