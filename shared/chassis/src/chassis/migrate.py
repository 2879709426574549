"""Brings a service's database to its newest version: `python -m chassis.migrate SERVICE`, as the operator."""

import sys
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL


class MigrationSettings(BaseSettings):
    """Where the database is and who changes it; WAYBILL_POSTGRES_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="WAYBILL_POSTGRES_", frozen=True, extra="ignore")

    host: str
    port: int
    database: str
    user: str
    password_file: Path

    def url(self) -> URL:
        """Return SQLAlchemy's URL of the database."""
        password = self.password_file.read_text().strip()
        return URL.create("postgresql+asyncpg", self.user, password, self.host, self.port, self.database)


def migrate(service: str, settings: MigrationSettings) -> None:
    """Run the migrations of a service; twice changes nothing."""
    config = migrations(service)
    config.attributes["url"] = settings.url()
    command.upgrade(config, "head")


def migrations(service: str) -> Config:
    """Return where Alembic finds the migrations that the package `service` brings in `migrations/versions`."""
    config = Config()
    config.set_main_option("script_location", "chassis:migrations")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(resources.files(service) / "migrations" / "versions"))
    return config


if __name__ == "__main__":
    migrate(sys.argv[1], MigrationSettings())
