"""How every command reaches a running stack: addresses from stack.json in its home, secrets from files beside it."""

from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from contracts import Names
from exactly_once import Auth
from waybill import secrets
from waybill.credentials import credential_file, librdkafka
from waybill.errors import UsageError
from waybill.stacks import chosen

STACK_FILE = "stack.json"


class Stack(BaseModel, frozen=True):
    """Where the parts of a stack are. It holds no secret."""

    home: Path
    namespace: str
    brokers: int
    kafka_bootstrap: str
    kafka_auth: Auth = "scram"
    postgres_host: str
    postgres_port: int
    registry_url: str
    services: dict[str, list[str]]
    gateway_url: str

    @classmethod
    def load(cls, home: Path | None = None) -> Self:
        """Read the stack in `home`, or the chosen one. UsageError: there is none."""
        file = (home or chosen().home) / STACK_FILE
        try:
            return cls.model_validate_json(file.read_text()).model_copy(update={"home": file.parent})
        except FileNotFoundError:
            raise UsageError(f"there is no stack in {file.parent}: start one with `waybill up`") from None
        except (OSError, ValidationError) as error:
            raise UsageError(f"{file} can't be read: {error}") from error

    def save(self) -> None:
        """Write what `load` reads."""
        secrets.write(self.home / STACK_FILE, self.model_dump_json(indent=1))

    @property
    def kafka_ca(self) -> Path:
        """The certificate that the brokers' own are signed with."""
        return self.home / "tls" / "ca.pem"

    @property
    def names(self) -> Names:
        """The names within this stack's namespace."""
        return Names(self.namespace)

    def secret(self, name: str) -> str:
        """Return a secret of this stack."""
        return secrets.read(self.home, name)

    def kafka_credential(self, user: str) -> Path:
        """Return the file that proves to Kafka who a logical user is."""
        return credential_file(self.home, self.kafka_auth, self.names.user(user))

    def kafka_client(self, user: str) -> dict[str, Any]:
        """Return the configuration of a librdkafka client for a logical user. UsageError: there is no such user."""
        file = self.kafka_credential(user)
        if not file.exists():
            raise UsageError(f"there is no {file.name} in {file.parent}: run `waybill up` or `waybill provision` first")
        return {
            "bootstrap.servers": self.kafka_bootstrap,
            "ssl.ca.location": str(self.kafka_ca),
            "log_level": "0",  # what matters comes as an exception; a broker that is down is no news here
            **librdkafka(self.kafka_auth, self.names.user(user), file),
        }

    def postgres_dsn(self, database: str, role: str) -> str:
        """Return a DSN for a logical database and role."""
        name = self.names.role(role)
        password = quote(self.secret(f"postgres-{name}"), safe="")
        where = f"{self.postgres_host}:{self.postgres_port}"
        known = database if database == "postgres" else self.names.database(database)
        return f"postgresql://{name}:{password}@{where}/{known}"

    def in_namespace(self, namespace: str) -> Self:
        """Return the same stack seen through another namespace; it has no services of its own yet."""
        return self.model_copy(update={"namespace": namespace, "services": {}})
