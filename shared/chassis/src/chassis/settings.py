"""What every service is told by its environment; secrets come from files."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from chassis.addresses import checked
from contracts import Names
from exactly_once import Auth, KafkaSettings


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
    kafka_auth: Auth = Field("scram", description="how brokers know us: scram, mtls or oauthbearer")
    kafka_user: str = ""
    kafka_password_file: Path | None = Field(None, description="scram: the password")
    kafka_certificate_file: Path | None = Field(None, description="mtls: the key and its certificate, in PEM")
    kafka_token_file: Path | None = Field(None, description="oauthbearer: a token that somebody keeps fresh")
    kafka_ca_file: Path = Path()
    registry_url: str = ""

    jwks_from: Literal["file", "url", "discovery"] = Field("file", description="where the keys of tokens are found")
    jwks_file: Path = Field(Path(), description="file: a JWKS")
    jwks_url: str = Field("", description="url: the address of a JWKS")
    token_issuer: str = Field("waybill", description="who makes tokens; discovery: its address, as tokens say it")
    token_audience: str = Field("waybill", description="for whom tokens must be made")
    token_algorithm: Literal["ES256", "ES384", "RS256", "PS256", "EdDSA"] = Field("ES256", description="no other does")

    @field_validator("namespace")
    @classmethod
    def _check_namespace(cls, value: str) -> str:
        Names(value)
        return value

    @field_validator("jwks_url", "token_issuer")
    @classmethod
    def _check_address(cls, value: str, info: ValidationInfo) -> str:
        is_asked = info.data.get("jwks_from") == {"jwks_url": "url", "token_issuer": "discovery"}[str(info.field_name)]
        return checked(value) if is_asked else value

    @property
    def keys_address(self) -> str:
        """Who is asked for the keys of tokens; empty where a file holds them."""
        return {"file": "", "url": self.jwks_url, "discovery": self.token_issuer}[self.jwks_from]

    @property
    def names(self) -> Names:
        """The names within this service's namespace."""
        return Names(self.namespace)

    def kafka(self) -> KafkaSettings:
        """Return who we are to Kafka. OSError: the file that proves it is not named, or can't be read."""
        files = {
            "scram": self.kafka_password_file,
            "mtls": self.kafka_certificate_file,
            "oauthbearer": self.kafka_token_file,
        }
        credential = files[self.kafka_auth]
        if credential is None:
            raise FileNotFoundError(f"WAYBILL_KAFKA_AUTH is {self.kafka_auth}, and no file is named for it")
        kafka = KafkaSettings(
            bootstrap=self.kafka_bootstrap,
            user=self.kafka_user,
            credential=credential,
            ca_file=self.kafka_ca_file,
            prefix=self.names.prefix,
            auth=self.kafka_auth,
        )
        return kafka.checked()

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
