"""The saga of one order, walked: every interleaving of its events between topics, late and doubled.

The model is written from the tables of the architecture alone and imports nothing of the services. Within a topic
events keep their order; between topics any may be late. The gateway may charge and its answer get lost. The customer
may cancel, the reservation may expire, and one event may be doubled, at each point. FOUND names what the tables
promise; a walk without one of them must find what it is there for.
"""

from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import pytest

# What the tables promise, and what goes wrong without it.
FOUND = {
    "no terminal status while a cancellation is unanswered": "two ends",
    "a cancellation is refused once the order has ended": "two ends",
    "a declined payment is not the end, inventory's verdict is": "two ends",
    "a withheld end is published after a refusal": "stuck",
    "a cancellation that comes first is remembered by accounting": "money leaked",
    "every outcome of a charge is recorded, and refunded if cancelled meanwhile": "money leaked",
    "a failed allocation is refunded": "money leaked",
    "a cancelled order is refunded": "money leaked",
    "a charge has one idempotency key": "charged twice",
    "a refund has one idempotency key": "refunded twice",
    "a shipment is not sent after a granted cancellation": "shipped and cancelled",
    "a cancellation is not granted after a shipment": "shipped and cancelled",
    "one shipment": "shipped twice",
    "an order is reserved once": "stock leaked",
    "a payment is answered once": "money leaked",
    "only what is still held is allocated": "stock leaked",
    "only what is held is freed after a refusal to pay": "stock leaked",
    "only what is held and not paid expires": "stock leaked",
    "a cancelled order's stock is put back": "stock leaked",
}
RULES = frozenset(FOUND)

TOPIC_OF = {
    **dict.fromkeys(["OrderPlaced", "OrderCancelled"], "orders"),
    **dict.fromkeys(["StockReserved", "StockRejected", "StockAllocated", "AllocationFailed"], "stock"),
    **dict.fromkeys(["released:declined", "released:expired", "released:cancelled"], "stock"),
    **dict.fromkeys(["PaymentCaptured", "PaymentDeclined", "PaymentRefunded"], "billing"),
    **dict.fromkeys(["ShipmentDispatched", "ShipmentCancelled", "CancellationRefused"], "shipping"),
    **dict.fromkeys(["charge", "refund"], "accounting.commands"),
    "expire": "inventory.commands",
}
RELEASES = {"released:declined", "released:expired", "released:cancelled"}
CONSUMES = {
    "inventory": {"OrderPlaced", "PaymentCaptured", "PaymentDeclined", "ShipmentDispatched", "ShipmentCancelled"}
    | {"expire"},
    "accounting": {"OrderPlaced", "StockReserved", "AllocationFailed", "ShipmentCancelled", "charge", "refund"}
    | RELEASES,
    "fulfillment": {"StockAllocated", "OrderCancelled"},
    "checkout": {"StockReserved", "StockRejected", "PaymentCaptured", "PaymentDeclined", "ShipmentDispatched"}
    | {"ShipmentCancelled", "CancellationRefused"}
    | RELEASES,
}
QUEUES = sorted({(service, TOPIC_OF[event]) for service, events in CONSUMES.items() for event in events})
TO = {
    event: [QUEUES.index((service, TOPIC_OF[event])) for service in CONSUMES if event in CONSUMES[service]]
    for event in TOPIC_OF
}
RANKS = {"placed": 0, "reserved": 1, "paid": 2}  # every other status is an end


class Inventory(NamedTuple):
    state: str = ""
    paid: bool = False
    held: int = 0
    shipped: int = 0


class Accounting(NamedTuple):
    state: str = "awaiting"
    dues: bool = False
    reserved: bool = False
    void: bool = False


class Fulfillment(NamedTuple):
    shipments: int = 0
    answer: str = ""


class Checkout(NamedTuple):
    status: str = "placed"
    cancellation: str = ""
    withheld: str = ""


class Gateway(NamedTuple):
    charges: int = 0
    declined: bool = False
    refunds: int = 0


class State(NamedTuple):
    queues: tuple[tuple[str, ...], ...]
    handled: tuple[tuple[str, ...], ...]
    inventory: Inventory = Inventory()
    accounting: Accounting = Accounting()
    fulfillment: Fulfillment = Fulfillment()
    checkout: Checkout = Checkout()
    gateway: Gateway = Gateway()
    timed: bool = False
    doubles: int = 0


Outcomes = tuple[tuple[Any, tuple[str, ...]], ...]  # what a service may become, and what it then tells


@cache
def inventory(now: Inventory, event: str, rules: frozenset[str]) -> Outcomes:
    if event == "OrderPlaced":
        return _reserved(now, rules)
    if event == "PaymentCaptured" and not (now.paid and "a payment is answered once" in rules):
        if now.state == "held" or "only what is still held is allocated" not in rules:
            return ((now._replace(state="allocated", paid=True), ("StockAllocated",)),)
        return ((now._replace(paid=True), ("AllocationFailed",)),)
    if event == "ShipmentDispatched" and now.state != "shipped":
        return ((now._replace(state="shipped", held=now.held - 1, shipped=now.shipped + 1), ()),)
    if reason := _freed(now, event, rules):
        return ((now._replace(state=reason, held=now.held - 1), (f"released:{reason}",)),)
    forestalled = event == "ShipmentCancelled" and not now.state
    return ((now._replace(state="cancelled") if forestalled else now, ()),)


def _reserved(now: Inventory, rules: frozenset[str]) -> Outcomes:
    if now.state == "cancelled" or (now.state and "an order is reserved once" in rules):
        return ((now, ()),)
    return (
        (now._replace(state="held", held=now.held + 1), ("StockReserved",)),
        (now._replace(state="rejected"), ("StockRejected",)),
    )


def _freed(now: Inventory, event: str, rules: frozenset[str]) -> str:
    """Return for what reason the stock is put back, nothing where it is not."""
    held = now.state in {"held", "allocated"}
    match event:
        case "PaymentDeclined" if (
            now.state == "held" or "only what is held is freed after a refusal to pay" not in rules
        ):
            return "declined"
        case "expire" if now.state == "held" or (held and "only what is held and not paid expires" not in rules):
            return "expired"
        case "ShipmentCancelled" if held and "a cancelled order's stock is put back" in rules:
            return "cancelled"
    return ""


@cache
def accounting(now: Accounting, event: str, rules: frozenset[str]) -> Outcomes:
    match event:
        case "OrderPlaced":
            return _charge(now._replace(dues=True))
        case "StockReserved":
            return _charge(now._replace(reserved=True))
        case "ShipmentCancelled":
            if "a cancellation that comes first is remembered by accounting" in rules or now.state != "awaiting":
                now = now._replace(void=True)
            return _refund(now) if "a cancelled order is refunded" in rules else ((now, ()),)
        case "AllocationFailed" if "a failed allocation is refunded" in rules:
            return _refund(now._replace(void=True))
    if event in RELEASES and now.state == "awaiting":
        return ((now._replace(void=True), ()),)
    return ((now, ()),)


def _charge(now: Accounting) -> Outcomes:
    if now.state != "awaiting" or now.void or not (now.dues and now.reserved):
        return ((now, ()),)
    return ((now._replace(state="charging"), ("charge",)),)


def _refund(now: Accounting, *told: str) -> Outcomes:
    if now.state != "captured" or not now.void:
        return ((now, told),)
    return ((now._replace(state="refunding"), (*told, "refund")),)


@cache
def recorded(now: Accounting, command: str, gateway: Gateway, rules: frozenset[str]) -> Outcomes:
    """Accounting consumes a command to itself, whose outcome the gateway has told."""
    if command == "refund":
        news = now.state == "refunding"
        return ((now._replace(state="refunded") if news else now, ("PaymentRefunded",) if news else ()),)
    if now.state not in {"charging", "awaiting"}:
        return ((now, ()),)
    if gateway.declined:
        return ((now._replace(state="declined"), ("PaymentDeclined",)),)
    captured = now._replace(state="captured")
    if "every outcome of a charge is recorded, and refunded if cancelled meanwhile" not in rules:
        return ((captured, ("PaymentCaptured",)),)
    return _refund(captured, "PaymentCaptured")


@cache
def fulfillment(now: Fulfillment, event: str, rules: frozenset[str]) -> Outcomes:
    if event == "StockAllocated":
        kept = now.answer == "granted" and "a shipment is not sent after a granted cancellation" in rules
        if kept or (now.shipments and "one shipment" in rules):
            return ((now, ()),)
        return ((now._replace(shipments=now.shipments + 1), ("ShipmentDispatched",)),)
    if now.answer:
        return ((now, ()),)
    if now.shipments and "a cancellation is not granted after a shipment" in rules:
        return ((now._replace(answer="refused"), ("CancellationRefused",)),)
    return ((now._replace(answer="granted"), ("ShipmentCancelled",)),)


STATUS = {
    "StockReserved": "reserved",
    "PaymentCaptured": "paid",
    "StockRejected": "rejected",
    "ShipmentDispatched": "shipped",
    **{event: event.removeprefix("released:") for event in RELEASES},
}


@cache
def checkout(now: Checkout, event: str, rules: frozenset[str]) -> Outcomes:
    if event == "PaymentDeclined":
        if "a declined payment is not the end, inventory's verdict is" in rules:
            return ((now, ()),)
        return ((_learned(now, "declined", rules), ()),)
    if event in STATUS:
        return ((_learned(now, STATUS[event], rules), ()),)
    if now.cancellation == "answered":
        return ((now, ()),)
    end = now.withheld if "a withheld end is published after a refusal" in rules else ""
    answered = now._replace(cancellation="answered", withheld="")
    return ((_learned(answered, "cancelled" if event == "ShipmentCancelled" else end, rules), ()),)


def _learned(now: Checkout, news: str, rules: frozenset[str]) -> Checkout:
    if not news or now.status not in RANKS or RANKS.get(news, 9) <= RANKS[now.status]:
        return now
    asked = now.cancellation == "asked" and "no terminal status while a cancellation is unanswered" in rules
    if news not in RANKS and asked:
        return now if now.withheld == "shipped" else now._replace(withheld=news)
    return now._replace(status=news)


HANDLERS: dict[str, Any] = {
    "inventory": inventory,
    "accounting": accounting,
    "fulfillment": fulfillment,
    "checkout": checkout,
}


def told(state: State, *events: str) -> State:
    queues = list(state.queues)
    for event in events:
        for place in TO.get(event, ()):
            queues[place] = (*queues[place], event)
    return state._replace(queues=tuple(queues))


def moves(state: State, rules: frozenset[str]) -> Iterator[State]:
    """Yield every state that the system itself may be in next."""
    for place, queue in enumerate(state.queues):
        if not queue:
            continue
        service, event = QUEUES[place][0], queue[0]
        if event in {"charge", "refund"}:
            yield from called(state, place, rules)
            continue
        for now, events in HANDLERS[service](getattr(state, service), event, rules):
            yield told(taken(state, place)._replace(**{service: now}), *events)
    if state.inventory.state == "held" and not state.timed:
        yield told(state._replace(timed=True), "expire")


def called(state: State, place: int, rules: frozenset[str]) -> Iterator[State]:
    """The gateway is asked; its answer arrives and is recorded, or is lost, and the command stays."""
    command = state.queues[place][0]
    for gateway in asked(state.gateway, command, rules):
        if gateway != state.gateway:
            yield state._replace(gateway=gateway)
        for now, events in recorded(state.accounting, command, gateway, rules):
            yield told(taken(state, place)._replace(gateway=gateway, accounting=now), *events)


def asked(gateway: Gateway, command: str, rules: frozenset[str]) -> list[Gateway]:
    if command == "refund":
        if gateway.refunds and "a refund has one idempotency key" in rules:
            return [gateway]
        return [gateway._replace(refunds=gateway.refunds + 1)]
    if gateway.declined or (gateway.charges and "a charge has one idempotency key" in rules):
        return [gateway]
    charged = gateway._replace(charges=gateway.charges + 1)
    return [charged] if gateway.charges else [charged, gateway._replace(declined=True)]


def taken(state: State, place: int) -> State:
    queue, handled = state.queues[place], state.handled
    rest = (*state.queues[:place], queue[1:], *state.queues[place + 1 :])
    if state.doubles:  # remembered only as long as something may still be doubled
        seen = tuple(sorted({*handled[place], queue[0]}))
        handled = (*handled[:place], seen, *handled[place + 1 :])
    return state._replace(queues=rest, handled=handled)


def pushes(state: State, rules: frozenset[str]) -> Iterator[State]:
    """Yield what the world outside may do: the customer cancels, an event arrives once more."""
    open_still = state.checkout.status in RANKS or "a cancellation is refused once the order has ended" not in rules
    if not state.checkout.cancellation and open_still:
        yield told(state._replace(checkout=state.checkout._replace(cancellation="asked")), "OrderCancelled")
    if state.doubles:
        for place, events in enumerate(state.handled):
            for event in events:
                queues = list(state.queues)
                queues[place] = (*queues[place], event)
                left = state.doubles - 1
                nothing = state.handled if left else NOTHING
                yield state._replace(queues=tuple(queues), doubles=left, handled=nothing)


NOTHING: tuple[tuple[str, ...], ...] = ((),) * len(QUEUES)


def wrong_at_once(state: State) -> str:
    if state.gateway.charges > 1:
        return "charged twice"
    if state.gateway.refunds > 1:
        return "refunded twice"
    if state.fulfillment.shipments > 1:
        return "shipped twice"
    if state.fulfillment.shipments and state.fulfillment.answer == "granted":
        return "shipped and cancelled"
    if state.inventory.held not in {0, 1}:
        return "stock leaked"
    return ""


def wrong_at_rest(state: State) -> str:
    status, shipped = state.checkout.status, state.fulfillment.shipments
    if status in RANKS or state.checkout.cancellation == "asked":
        return "stuck"
    granted = state.fulfillment.answer == "granted"
    if status != ("cancelled" if granted else "shipped" if shipped else state.inventory.state):
        return "two ends"
    if state.gateway.charges - state.gateway.refunds != shipped:
        return "money leaked"
    if state.inventory.held or state.inventory.shipped != shipped:
        return "stock leaked"
    return ""


def walk(rules: frozenset[str], doubles: int) -> tuple[int, str]:
    """Visit every state; return how many there are, and the first thing that is wrong with one of them."""
    start = told(State(((),) * len(QUEUES), NOTHING, doubles=doubles), "OrderPlaced")
    seen, ahead = {start}, [start]
    while ahead:
        state = ahead.pop()
        following = list(moves(state, rules))
        if wrong := wrong_at_once(state) or ("" if following else wrong_at_rest(state)):
            return len(seen), wrong
        for each in chain(following, pushes(state, rules)):
            if each not in seen:
                seen.add(each)
                ahead.append(each)
    return len(seen), ""


def test_no_interleaving_is_stuck_charges_twice_leaks_or_ends_twice() -> None:
    """As many states as there are of one order, one of whose events is doubled."""
    states, wrong = walk(RULES, doubles=1)
    assert not wrong
    assert states > 40_000


@pytest.mark.parametrize("rule", sorted(RULES))
def test_without_one_rule_the_walk_finds_what_goes_wrong(rule: str) -> None:
    _, wrong = walk(RULES - {rule}, doubles=0)
    if not wrong:  # it takes a doubled event
        _, wrong = walk(RULES - {rule}, doubles=1)
    assert wrong == FOUND[rule]
