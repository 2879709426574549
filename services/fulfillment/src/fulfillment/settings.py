"""What fulfillment needs to know from outside, read once."""

from chassis import ServiceSettings


class Settings(ServiceSettings):
    """The chassis's settings; fulfillment needs nothing of its own."""
