"""What inventory needs to know from outside, read once."""

from pydantic import Field

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings, and how long a reservation waits for its payment."""

    reservation_ttl_s: float = Field(900.0, gt=0, description="seconds until an unpaid reservation expires")
