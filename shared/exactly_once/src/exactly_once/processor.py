"""A processor is the handlers of one group; a handler's signature is its part of the topology."""

import types
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, iscoroutinefunction, signature
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from exactly_once.event import Event

Emitted = Event | Sequence[Event] | None
F = TypeVar("F", bound=Callable[..., Any])
ALONE, WITHOUT_OUTCOME, WITH_OUTCOME = 1, 2, 3  # how many parameters a handler has


class WorkingSet(Protocol):
    """What a batch's handlers read and change: loaded in one query under lock, saved set-based."""

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        """Read, in one fixed order and under lock, what these events may touch."""
        ...

    async def save(self, connection: AsyncConnection) -> None:
        """Write what changed, one statement a table."""
        ...


@dataclass(frozen=True)
class Handler:
    """A function from an event (and a working set, and what a call returned) to events."""

    function: Callable[..., Emitted]
    event_type: type[Event]
    working_set: type[WorkingSet] | None
    takes_outcome: bool
    emits: tuple[type[Event], ...]


@dataclass(frozen=True)
class Call:
    """A function that asks the outside world; it runs before the transaction and is safe to repeat."""

    function: Callable[..., Awaitable[Any]]
    resource: type


@dataclass
class Processor:
    """The handlers of one group. `name` is the group's, and the service's, logical name."""

    name: str
    handlers: dict[type[Event], Handler] = field(default_factory=dict)
    outside_calls: dict[type[Event], Call] = field(default_factory=dict)

    @property
    def topics(self) -> frozenset[str]:
        """The logical topics that this processor reads."""
        return frozenset(event_type.topic for event_type in self.handlers)

    @property
    def emits(self) -> frozenset[type[Event]]:
        """Every event type that a handler may return."""
        return frozenset(event for handler in self.handlers.values() for event in handler.emits)

    def handles(self, event_type: type[Event]) -> Callable[[F], F]:
        """Register the decorated function for an event type; a wrong signature is a TypeError at import."""

        def register(function: F) -> F:
            if event_type in self.handlers:
                raise TypeError(f"{event_type.__name__} has two handlers in {self.name}")
            self.handlers[event_type] = _handler(function, event_type)
            return function

        return register

    def calls(self, event_type: type[Event]) -> Callable[[F], F]:
        """Register the decorated coroutine function as the outside call that precedes the handler of a record."""

        def register(function: F) -> F:
            parameters, hints = _parameters(function, event_type)
            if len(parameters) != WITHOUT_OUTCOME or not iscoroutinefunction(function):
                raise TypeError(f"{function.__name__} must be `async def {function.__name__}(event, resource)`")
            self.outside_calls[event_type] = Call(function, hints[parameters[1].name])
            return function

        return register


def _handler(function: Callable[..., Emitted], event_type: type[Event]) -> Handler:
    parameters, hints = _parameters(function, event_type)
    if len(parameters) not in {ALONE, WITHOUT_OUTCOME, WITH_OUTCOME} or iscoroutinefunction(function):
        raise TypeError(f"{function.__name__} must be `def {function.__name__}(event[, working_set[, outcome]])`")
    emits = tuple(_events(hints.get("return"), function))
    working_set = None if len(parameters) == ALONE else hints[parameters[1].name]
    return Handler(function, event_type, working_set, len(parameters) == WITH_OUTCOME, emits)


def _parameters(function: Callable[..., Any], event_type: type[Event]) -> tuple[list[Parameter], dict[str, Any]]:
    hints = typing.get_type_hints(function)
    parameters = list(signature(function).parameters.values())
    if not parameters or hints.get(parameters[0].name) is not event_type:
        raise TypeError(f"{function.__name__} must take a {event_type.__name__} first")
    return parameters, hints


def _events(annotation: Any, function: Callable[..., Any]) -> list[type[Event]]:
    """Return the event types that a return annotation names; anything but events and None is refused."""
    if annotation in {None, types.NoneType}:
        return []
    if typing.get_origin(annotation) in {types.UnionType, typing.Union, list, Sequence}:
        return [event for arm in typing.get_args(annotation) for event in _events(arm, function)]
    if isinstance(annotation, type) and issubclass(annotation, Event):
        return [annotation]
    raise TypeError(f"{function.__name__} returns {annotation}, which is no event")
