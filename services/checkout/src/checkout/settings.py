"""What checkout needs to know from outside, read once."""

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings; checkout needs nothing of its own."""
