"""What checkout needs to know from outside, read once."""

from pydantic import Field

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings, a lower bound of bodies, and how many orders may be ahead of one that is accepted."""

    http_most_bytes: int = Field(256 << 10, gt=0, description="the largest body: 100 lines have 130 KB, all escaped")
    orders_most_ahead: int = Field(
        100_000, gt=0, description="orders on their way before a new one is refused: what is shipped while one may wait"
    )
