"""What the letters' service needs to know from outside, read once."""

from pathlib import Path

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings, less a database: all that there is to know stands in the letters."""

    postgres_host: str = ""
    postgres_port: int = 0
    postgres_database: str = ""
    postgres_user: str = ""
    postgres_password_file: Path = Path()
