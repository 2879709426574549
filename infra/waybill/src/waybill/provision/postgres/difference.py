"""What lies between PostgreSQL as it is and as the contracts want it, in statements and in words."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from waybill.provision.changes import Action, Change, Plan
from waybill.provision.postgres.state import PUBLIC, Database, Membership, PostgresState, Privilege, Role
from waybill.provision.postgres.verifier import verifier

SERVER = ""  # statements for no database in particular
# A new database, before anything is granted or revoked; its owner's rights are left out everywhere.
OPEN_TO_ALL = frozenset({Privilege("schema", PUBLIC, "PUBLIC", "USAGE")})

Password = Callable[[str], str]


class Step(NamedTuple):
    """A change, the database it is made in, and its statement."""

    change: Change
    database: str
    statement: str


class PostgresDifference(NamedTuple):
    """Steps in the order in which they must run."""

    roles: tuple[Step, ...]
    databases: tuple[Step, ...]
    privileges: tuple[Step, ...]

    def plan(self) -> Plan:
        """Return the difference in words."""
        return Plan(changes=tuple(step.change for steps in self for step in steps))


def difference(wanted: PostgresState, actual: PostgresState, password: Password) -> PostgresDifference:
    """Compare; `password` gives a role's, of which only a verifier gets into a statement."""
    return PostgresDifference(
        roles=(*_roles(wanted, actual, password), *map(_without, sorted(actual.memberships - wanted.memberships))),
        databases=tuple(_databases(wanted, actual)),
        privileges=(*_privileges(SERVER, wanted.privileges, _on_server(wanted, actual)), *_all_inside(wanted, actual)),
    )


def _on_server(wanted: PostgresState, actual: PostgresState) -> frozenset[Privilege]:
    new = wanted.databases.keys() - actual.databases.keys()
    open_to_all = (Privilege("database", name, "PUBLIC", it) for name in new for it in ("CONNECT", "TEMPORARY"))
    return actual.privileges.union(open_to_all)


def _all_inside(wanted: PostgresState, actual: PostgresState) -> Iterator[Step]:
    for name, database in sorted(wanted.databases.items()):
        found = actual.databases.get(name, Database(database.owner, OPEN_TO_ALL))
        yield from _privileges(name, database.privileges, found.privileges)


def _roles(wanted: PostgresState, actual: PostgresState, password: Password) -> Iterator[Step]:
    for name, role in sorted(wanted.roles.items()):
        found = actual.roles.get(name)
        if found != role:
            detail = "new" if found is None else "; ".join(_unlike(role, found))
            action: Action = "create" if found is None else "alter"
            statement = _role_statement(name, role, found, password)
            yield Step(Change(part="postgres", action=action, kind="role", name=name, detail=detail), SERVER, statement)


def _role_statement(name: str, role: Role, found: Role | None, password: Password) -> str:
    keeps_password = found is not None and found.password_is_ours
    secret = "" if keeps_password else f" PASSWORD '{verifier(password(name))}'"
    attributes = f"{' '.join(sorted(role.attributes))} CONNECTION LIMIT {role.connection_limit}"
    statements = [f"{'CREATE' if found is None else 'ALTER'} ROLE {quoted(name)} {attributes}{secret}"]
    if found is None or found.settings != role.settings:
        statements.append(f"ALTER ROLE {quoted(name)} RESET ALL")
        for setting in sorted(role.settings):
            parameter, value = setting.split("=", 1)
            statements.append(f"ALTER ROLE {quoted(name)} SET {parameter} = '{value}'")
    return "; ".join(statements)


def _unlike(role: Role, found: Role) -> Iterator[str]:
    if found.attributes != role.attributes or found.connection_limit != role.connection_limit:
        yield f"{' '.join(sorted(role.attributes))} with {role.connection_limit} connections"
    if found.settings != role.settings:
        yield " ".join(sorted(role.settings)) or "no settings of its own"
    if not found.password_is_ours:
        yield "another password"


def _without(membership: Membership) -> Step:
    name = f"{membership.member} in {membership.role}"
    statement = f"REVOKE {quoted(membership.role)} FROM {quoted(membership.member)} CASCADE"
    return Step(Change(part="postgres", action="remove", kind="membership", name=name), SERVER, statement)


def _databases(wanted: PostgresState, actual: PostgresState) -> Iterator[Step]:
    for name, database in sorted(wanted.databases.items()):
        found = actual.databases.get(name)
        if found is None:  # template0, since nobody can be connected to it, which CREATE DATABASE would refuse
            change = Change(part="postgres", action="create", kind="database", name=name)
            yield Step(
                change, name, f"CREATE DATABASE {quoted(name)} OWNER {quoted(database.owner)} TEMPLATE template0"
            )
        elif found.owner != database.owner:
            detail = f"owner {database.owner}"
            change = Change(part="postgres", action="alter", kind="database", name=name, detail=detail)
            yield Step(change, name, f"ALTER DATABASE {quoted(name)} OWNER TO {quoted(database.owner)}")


def _privileges(database: str, wanted: frozenset[Privilege], found: frozenset[Privilege]) -> Iterator[Step]:
    """Revoke first: what is granted with the right to pass it on must be granted again without."""
    yield from (_step(database, "remove", group) for group in _grouped(found - wanted))
    yield from (_step(database, "create", group) for group in _grouped(wanted - found))


def _grouped(privileges: Iterable[Privilege]) -> list[list[Privilege]]:
    groups: dict[tuple[str, str, str], list[Privilege]] = defaultdict(list)
    for privilege in sorted(privileges):
        groups[privilege.kind, privilege.on, privilege.grantee].append(privilege)
    return list(groups.values())


def _step(database: str, action: Action, group: list[Privilege]) -> Step:
    kind, on, grantee = group[0][:3]
    what = ", ".join(sorted({privilege.privilege for privilege in group}))
    where = f" in {database}" if database else ""
    change = Change(
        part="postgres", action=action, kind="privilege", name=f"{grantee} on {kind} {on}{where}", detail=what
    )
    return Step(change, database, _statement(action, group[0], what))


def _statement(action: Action, privilege: Privilege, what: str) -> str:
    to = "PUBLIC" if privilege.grantee == "PUBLIC" else quoted(privilege.grantee)
    tail = f"TO {to}" if action == "create" else f"FROM {to} CASCADE"
    verb = "GRANT" if action == "create" else "REVOKE"
    if privilege.kind == "default":
        owner, schema, objects = privilege.on.split("/")
        inside = f" IN SCHEMA {quoted(schema)}" if schema else ""
        return f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(owner)}{inside} {verb} {what} ON {objects.upper()} {tail}"
    if privilege.kind == "column":
        table, column = privilege.on.rsplit("/", 1)
        columns = ", ".join(f"{each} ({column})" for each in what.split(", "))
        return f"{verb} {columns} ON TABLE {table} {tail}"
    return f"{verb} {what} ON {privilege.kind.upper()} {privilege.on} {tail}"


def quoted(name: str) -> str:
    """Return an identifier as SQL takes it."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
