"""Databases, roles and privileges in words that compare: as wanted, or as read from PostgreSQL's catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["database", "schema", "table", "sequence", "column", "default"]
PUBLIC = "public"  # everybody; also the name of the only schema


class Privilege(NamedTuple):
    """A role may do one thing to one object.

    `on` is the object as SQL names it, with quotes where needed; of the kind `column` it is `<table>/<column>`, of
    the kind `default` `<owner>/<schema>/<tables|sequences|…>`: what the owner makes there later.
    """

    kind: Kind
    on: str
    grantee: str
    privilege: str
    grantable: bool = False


class Membership(NamedTuple):
    """A role has another one's rights."""

    role: str
    member: str


class Role(NamedTuple):
    """What a role is. `attributes` as SQL spells them; `settings` as `name=value`."""

    attributes: frozenset[str]
    connection_limit: int
    settings: frozenset[str]
    password_is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Database:
    """A database, the tables and sequences in it, and who may do what with them.

    Privileges on the database itself are among the server's.
    """

    owner: str
    privileges: frozenset[Privilege]
    objects: frozenset[tuple[Kind, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class PostgresState:
    """What a namespace has in PostgreSQL."""

    roles: Mapping[str, Role]
    databases: Mapping[str, Database]
    privileges: frozenset[Privilege]
    memberships: frozenset[Membership] = field(default=frozenset())
