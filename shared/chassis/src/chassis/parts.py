"""What a service consists of, beside its settings."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter

from chassis.limiting import Backlog
from chassis.pruning import Prune
from chassis.sweeping import Sweep
from exactly_once import Event, Processor
from exactly_once.tables import tables_of

Resources = Callable[[Any], AbstractAsyncContextManager[list[Any]]]


@dataclass(frozen=True)
class Parts:
    """What a service consists of, beside its settings."""

    processor: Processor | None = None
    routers: Iterable[APIRouter] = ()
    publishes: Iterable[type[Event]] = ()
    sweeps: Iterable[Sweep] = ()
    prunes: Iterable[Prune] = ()
    resources: Resources | None = None
    queues: Mapping[tuple[str, str], Backlog] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def works(self) -> bool:
        """Tell whether there is work behind the requests: a loop, a relay."""
        return self.processor is not None or bool(self.publishes)

    @property
    def library_tables(self) -> set[str]:
        """The library's tables that this service uses."""
        return tables_of(consumes=self.processor is not None, publishes=bool(self.publishes))
