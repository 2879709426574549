"""Addresses that may be trusted with what they answer: over TLS, or on this machine."""

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def checked(address: str) -> str:
    """Return an address of https, or of http on loopback. ValueError: it is none, or holds a name and a password."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{address!r} is no address of https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a name or a password in it would end up in logs")
    if parts.scheme == "http" and not is_loopback(address):
        raise ValueError(f"{address} is not on this machine, so it must be https")
    return address


def is_loopback(address: str) -> bool:
    """Tell whether what an address names is on this machine, and says so itself."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Address = Annotated[str, AfterValidator(checked)]
