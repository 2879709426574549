"""What inventory needs to know from outside, read once."""

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings; inventory needs nothing of its own."""
