"""What every service is told by its environment; secrets come from files."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from contracts import Names
from exactly_once import KafkaSettings


class ServiceSettings(BaseSettings):
    """The environment of a service, read once in its main. Each field is WAYBILL_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="WAYBILL_", frozen=True, extra="ignore")

    service: str
    instance: str = Field("1", description="a stable name of this process: part of its transactional id")
    namespace: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = Field(ge=1, le=65_535)
    log_level: str = "info"
    http_most_bytes: int = Field(1 << 20, gt=0, description="the largest body of a request")
    customer_requests_per_second: int = Field(50, gt=0, description="that change something, of one customer")
    outbox_most_rows: int = Field(50_000, gt=0, description="events that may wait; beyond them requests are refused")

    postgres_host: str = Field(description="empty: the service has no database")
    postgres_port: int
    postgres_database: str
    postgres_user: str
    postgres_password_file: Path
    postgres_pool: int = Field(10, ge=2)

    kafka_bootstrap: str = ""
    kafka_user: str = ""
    kafka_password_file: Path = Path()
    kafka_ca_file: Path = Path()
    registry_url: str = ""

    jwks_file: Path = Path()
    token_issuer: str = "waybill"  # noqa: S105  # a name, no secret
    token_audience: str = "waybill"  # noqa: S105  # likewise

    @field_validator("namespace")
    @classmethod
    def _check_namespace(cls, value: str) -> str:
        Names(value)
        return value

    @property
    def names(self) -> Names:
        """The names within this service's namespace."""
        return Names(self.namespace)

    def kafka(self) -> KafkaSettings:
        """Return how the service reaches Kafka; reads its password."""
        return KafkaSettings(
            bootstrap=self.kafka_bootstrap,
            user=self.kafka_user,
            password=self.kafka_password_file.read_text().strip(),
            ca_file=self.kafka_ca_file,
            prefix=self.names.prefix,
        )

    def postgres_url(self) -> URL:
        """Return SQLAlchemy's URL of the service's database."""
        return URL.create(
            "postgresql+asyncpg",
            self.postgres_user,
            self.postgres_password_file.read_text().strip(),
            self.postgres_host,
            self.postgres_port,
            self.postgres_database,
        )
