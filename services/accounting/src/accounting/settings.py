"""What accounting needs to know from outside, read once."""

from pathlib import Path

from pydantic import Field

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings, and where the gateway is."""

    gateway_url: str
    gateway_key_file: Path
    gateway_timeout_s: float = Field(2.0, gt=0, description="one slow charge delays its batch, so keep it small")
