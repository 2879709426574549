"""What the contracts want in PostgreSQL: a database and a role a service, an auditor who reads all of them."""

from collections.abc import Iterable, Iterator

from contracts import AUDITOR, OPERATOR, SERVICES, Names
from waybill.provision.postgres.state import PUBLIC, Database, Kind, PostgresState, Privilege, Role

GATEWAY = "payment_gateway"  # a stand-in for a third party, with a database like a service's
REGISTRY = "registry"
OWNERS = (*SERVICES, GATEWAY)
MAINTENANCE = ("postgres", "template1")  # come with the server, open to everybody until we close them

LOGIN_ONLY = frozenset({"LOGIN", "NOSUPERUSER", "NOCREATEDB", "NOCREATEROLE", "NOREPLICATION", "NOBYPASSRLS"})
# A zombie's open transaction ends by itself, and with it the row locks that its successor waits for.
BOUNDED = frozenset({"idle_in_transaction_session_timeout=3s", "transaction_timeout=5s"})
READ_ONLY = frozenset({"default_transaction_read_only=on"})

ON_TABLES = ("SELECT", "INSERT", "UPDATE", "DELETE")
ON_SEQUENCES = ("SELECT", "USAGE")


def desired_roles(names: Names) -> dict[str, Role]:
    """Return the roles of a namespace, and the registry's own, which all namespaces share."""
    services = {names.role(owner): Role(LOGIN_ONLY, 40, BOUNDED) for owner in OWNERS}
    return services | {
        names.role(AUDITOR): Role(LOGIN_ONLY, 20, READ_ONLY),
        names.role(REGISTRY): Role(LOGIN_ONLY, 20, frozenset()),
    }


def desired_state(names: Names, actual: PostgresState) -> PostgresState:
    """Return what is wanted; `actual` tells only which tables and sequences there are to grant on."""
    auditor = names.role(AUDITOR)
    databases = {}
    server: set[Privilege] = set()
    for owner in OWNERS:
        name = names.database(owner)
        found = actual.databases.get(name)
        objects = found.objects if found else frozenset()
        inside = _inside(names.role(owner), auditor, objects)
        databases[name] = Database(OPERATOR, frozenset(inside), objects)
        server |= {Privilege("database", name, role, "CONNECT") for role in (names.role(owner), auditor)}
    registry = names.role(REGISTRY)  # Apicurio makes its own tables
    own = frozenset(Privilege("schema", PUBLIC, registry, privilege) for privilege in ("CREATE", "USAGE"))
    databases[registry] = Database(OPERATOR, own)
    server.add(Privilege("database", registry, registry, "CONNECT"))
    return PostgresState(desired_roles(names), databases, frozenset(server))


def _inside(role: str, auditor: str, objects: Iterable[tuple[Kind, str]]) -> Iterator[Privilege]:
    for reader in (role, auditor):
        yield Privilege("schema", PUBLIC, reader, "USAGE")
    later: tuple[tuple[Kind, str], ...] = (
        ("default", f"{OPERATOR}/{PUBLIC}/tables"),
        ("default", f"{OPERATOR}/{PUBLIC}/sequences"),
    )
    for kind, on in (*later, *objects):
        of_sequence = kind == "sequence" or on.endswith("/sequences")
        yield from (Privilege(kind, on, role, it) for it in (ON_SEQUENCES if of_sequence else ON_TABLES))
        yield Privilege(kind, on, auditor, "SELECT")
