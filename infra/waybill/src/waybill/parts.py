"""A stack as parts that are looked at, stopped and started, wherever they run: what each kind of stack offers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Auth = Literal["scram", "mtls", "oauthbearer"]  # as the library has it, which takes a second to import
Condition = Literal["starting", "healthy", "unhealthy", "restarting", "stopped"]


class Part(NamedTuple):
    """A process or a container; `pid` is None where this machine sees none, `started_at` in epoch seconds."""

    name: str
    state: Condition
    port: int
    why: str | None = None
    pid: int | None = None
    started_at: float | None = None


class Seen(NamedTuple):
    """A stack as it was when somebody looked; `message` says why it does not run, if that is known."""

    running: bool = False
    healthy: bool = False
    parts: tuple[Part, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a stack is asked to be; None is the environment's. `typed` are the options that a person typed."""

    brokers: int = 3
    instances: tuple[str, ...] = ()
    base_port: int | None = None
    namespace: str | None = None
    auth: Auth = "scram"
    services: bool = True
    typed: tuple[str, ...] = ()


class Parts(Protocol):
    """One stack's parts. Where something is in the way, UsageError says so in a sentence."""

    @property
    def home(self) -> Path:
        """The folder with its addresses and secrets."""

    def look(self) -> Seen:
        """Return how the parts are now."""

    def bring_up(self, wanted: Wanted) -> None:
        """Start everything, with progress, and return when all is healthy. What is in the way is said before."""

    def take_down(self) -> bool:
        """End everything; the data stays. False: nothing ran."""

    def stop(self, name: str) -> list[str]:
        """Ask what has this name to stop and to stay down; return the parts that were asked."""

    def start(self, name: str) -> list[str]:
        """Ask what was stopped by name to start; return the parts that were asked."""

    def log(self, name: str, lines: int, *, follow: bool) -> Iterator[str]:
        """Yield the end of a part's log, and what comes after it for ever if `follow`."""

    def renew(self) -> None:
        """Have running parts see what was changed in the home."""
