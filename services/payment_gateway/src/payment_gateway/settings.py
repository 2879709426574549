"""What the stand-in needs to know from outside, read once."""

from pathlib import Path

from pydantic import Field

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings, and who may use the gateway."""

    gateway_keys_file: Path
    gateway_silence_s: float = Field(10.0, ge=0, description="how long tok_timeout_after_charge keeps quiet")
