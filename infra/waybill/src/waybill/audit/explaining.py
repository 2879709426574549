"""Looks for an order of taking an order's events in which a service, as the model has it, gives what it gave.

A service takes each topic in its order and the topics in any. So several histories may be right, and one is enough.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from waybill.audit.machines import ASKED, MACHINES, Machine, State

if TYPE_CHECKING:
    from waybill.audit.evidence import Evidence, Group, Place, Record


class Taken(NamedTuple):
    """An input that a service took, and what can be read of its answers; `shown` once Kafka shows all of them."""

    event: str
    where: str
    gave: tuple[str, ...] = ()
    shown: bool = True


class Lost(NamedTuple):
    """An answer that must be there, and can't be read."""

    taken: Taken
    answers: tuple[str, ...]


class Explanation(NamedTuple):
    """How a service's answers about an order come about: `ends` are the states that it may be in now.

    No ends: with the `lost` answers it would be explained; without them not at all.
    """

    taken: tuple[Taken, ...]
    ends: frozenset[State]
    lost: tuple[Lost, ...] = ()


Explanations = Mapping[tuple[str, str], Explanation]  # by group and order
Queues = Sequence[Sequence[Taken]]
Shape = tuple[tuple[tuple[str, tuple[str, ...], bool], ...], ...]  # queues, but for the places
At = tuple[int, ...]


def label(record: "Record") -> str:
    """Name what a record says, as far as the model tells one from another."""
    if record.event_type == "StockReleased":
        return f"StockReleased:{record.fields['reason']}"
    if record.event_type == "OrderStatusChanged":
        return f"OrderStatusChanged:{record.fields['status']}"
    return record.event_type


def explain_all(evidence: "Evidence") -> Explanations:
    """Explain what each group gave about each order that no dead letter holds; nothing where the log is trimmed."""
    if evidence.trimmed:
        return {}
    explanations: dict[tuple[str, str], Explanation] = {}
    for name, machine in MACHINES.items():
        gave = _answers(evidence, name)
        types = evidence.wiring.consumes.get(name, frozenset())
        for order_id in evidence.journeys.keys() - evidence.stopped:
            queues = _queues(evidence, name, _inputs(evidence, types, order_id), gave)
            if name == "checkout" and _asked_to_cancel(evidence, order_id):
                queues.append([Taken(ASKED, "POST")])
            explanations[name, order_id] = explain(machine, queues)
    return explanations


def explain(machine: Machine, queues: Queues) -> Explanation:
    """Explain the answers to some queues of inputs, each in its order."""
    taken = tuple(each for queue in queues for each in queue)
    if ends := _ends(machine, tuple(tuple((each.event, each.gave, each.shown) for each in queue) for queue in queues)):
        return Explanation(taken, ends)
    _, lost = min(_walk(machine, queues, may_lose=True), key=lambda end: len(end[1]), default=(None, ()))
    return Explanation(taken, frozenset(), lost)


@lru_cache(maxsize=10_000)
def _ends(machine: Machine, shape: Shape) -> frozenset[State]:
    """Return the states at the ends of all histories in which nothing was lost: the same for all orders of a shape."""
    queues = [[Taken(event, "", gave, shown) for event, gave, shown in queue] for queue in shape]
    return frozenset(state for state, _ in _walk(machine, queues, may_lose=False))


def _walk(machine: Machine, queues: Queues, *, may_lose: bool) -> Iterator[tuple[State, tuple[Lost, ...]]]:
    """Yield the state at each end of a history, with what had to be lost for it."""
    whole = tuple(map(len, queues))
    start: tuple[At, State, tuple[Lost, ...]] = ((0,) * len(queues), machine.start, ())
    open_, seen = [start], {start}
    while open_:
        at, state, lost = open_.pop()
        if at == whole:
            yield state, lost
        for number, queue in enumerate(queues):
            if at[number] == len(queue):
                continue
            onward = (*at[:number], at[number] + 1, *at[number + 1 :])
            for after, missing in _steps(machine, state, queue[at[number]], may_lose=may_lose):
                reached = (onward, after, (*lost, *missing))
                if reached not in seen:
                    seen.add(reached)
                    open_.append(reached)


def _steps(machine: Machine, state: State, taken: Taken, *, may_lose: bool) -> Iterator[tuple[State, tuple[Lost, ...]]]:
    for move in machine.moves(state, taken.event):
        if move.gives == taken.gave or sorted(move.gives) == sorted(taken.gave):
            yield move.state, ()
        elif not Counter(taken.gave) - Counter(move.gives):
            missing = tuple((Counter(move.gives) - Counter(taken.gave)).elements())
            if machine.forgets or not taken.shown:
                yield move.state, ()
            elif may_lose:
                yield move.state, (Lost(taken, missing),)


def _inputs(evidence: "Evidence", types: Iterable[str], order_id: str) -> Iterator["Record"]:
    events = evidence.journeys[order_id]
    for event_type in types:
        yield from events.get(event_type, ())


def _queues(
    evidence: "Evidence", name: str, inputs: Iterable["Record"], gave: Mapping[str, Sequence[str]]
) -> list[list[Taken]]:
    group: Group = evidence.groups[name]
    queues: dict[str, list[tuple[Place, Record]]] = defaultdict(list)
    for record in inputs:
        if place := evidence.taken_at(name, record):
            queues[place.topic].append((place, record))
    return [
        [
            Taken(label(each), str(place), tuple(gave.get(each.event_id, ())), group.published(place))
            for place, each in sorted(queue, key=lambda taken: taken[0])
        ]
        for queue in queues.values()
    ]


def _answers(evidence: "Evidence", name: str) -> Mapping[str, Sequence[str]]:
    """Return what can be read of a group's answers, by the event that caused them."""
    gave: dict[str, list[str]] = defaultdict(list)
    for record in evidence.records:
        if (
            record.cause != record.event_id
            and record.fields
            and record.place not in evidence.copies
            and evidence.wiring.writers.get(record.place.topic) == name
        ):
            gave[record.cause].append(label(record))
    return gave


def _asked_to_cancel(evidence: "Evidence", order_id: str) -> bool:
    row = evidence.tables.orders.get(order_id)
    return bool(row and row.cancellation) or "OrderCancelled" in evidence.journeys[order_id]
