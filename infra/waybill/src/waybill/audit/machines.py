"""The audit's own model of what each service may do with one order: for an input, the answers that are allowed."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

ASKED = "(the customer asked to cancel)"  # comes over HTTP: no record tells when
ENDS = frozenset({"shipped", "rejected", "declined", "expired", "cancelled"})
PROGRESS = {"placed": 0, "reserved": 1, "paid": 2} | dict.fromkeys(ENDS, 3)


class Stand(NamedTuple):
    """Inventory: where a reservation is, and whether a payment for it was answered."""

    state: str = ""
    paid: bool = False


class Bill(NamedTuple):
    """Accounting: where a payment stands, whether dues and go-ahead are known, whether it is void."""

    state: str = ""
    dues: bool = False
    reserved: bool = False
    voided: bool = False


class Parcel(NamedTuple):
    """Fulfillment: whether the parcel left, and what a cancellation was answered."""

    dispatched: bool = False
    answer: str = ""


class Progress(NamedTuple):
    """Checkout: the status, what a cancellation has come to, and the end that waits for its answer."""

    status: str = "placed"
    cancellation: str = ""
    withheld: str = ""


State = Stand | Bill | Parcel | Progress


class Move(NamedTuple):
    """One allowed answer to an input: what it gives, and what the state is afterwards."""

    gives: tuple[str, ...]
    state: State


Moves = Iterable[Move]  # none: the input contradicts the state, and can only end as a dead letter


class Machine(NamedTuple):
    """How a service takes an order's events; `forgets` what its compacted topic no longer shows."""

    start: State
    moves: Callable[[Any, str], Moves]  # each takes its own kind of state
    forgets: bool = False


def inventory(state: Stand, event: str) -> Moves:
    """Hold everything or nothing; whoever pays for what is held gets it; what is held goes back once."""
    same = (Move((), state),)
    if event == "OrderPlaced":
        held_or_not = (Move(("StockReserved",), Stand("held")), Move(("StockRejected",), Stand("rejected")))
        return same if state.state else held_or_not
    if event == "ShipmentCancelled" and not state.state:
        return (Move((), Stand("cancelled")),)
    if event == "ShipmentDispatched":
        return (Move((), state._replace(state="shipped")),) if state.state in {"allocated", "shipped"} else ()
    if not state.state:
        return ()
    return _paid_for(state) if event == "PaymentCaptured" else _put_back(state, event)


def _paid_for(state: Stand) -> Moves:
    if state.paid:
        return (Move((), state),)
    answers = {"held": ("StockAllocated", "allocated"), "released": ("AllocationFailed", "released")}
    if state.state not in answers:
        return ()
    gives, after = answers[state.state]
    return (Move((gives,), Stand(after, paid=True)),)


def _put_back(state: Stand, event: str) -> Moves:
    reasons = {"PaymentDeclined": "declined", "ExpireReservation": "expired", "ShipmentCancelled": "cancelled"}
    if event == "ShipmentCancelled" and state.state == "shipped":
        return ()
    if state.state == "held" or (state.state == "allocated" and event == "ShipmentCancelled"):
        return (Move((f"StockReleased:{reasons[event]}",), state._replace(state="released")),)
    return (Move((), state),)


def accounting(state: Bill, event: str) -> Moves:
    """Charge once what is due and held, and give back once what was paid for nothing."""
    if event == "ChargePayment":
        return _charged(state)
    if event == "RefundPayment":
        refunded = (Move(("PaymentRefunded",), state._replace(state="refunded")),)
        return {"refunding": refunded, "refunded": (Move((), state),)}.get(state.state, ())
    if event == "StockReleased:declined":
        return (Move((), state),)
    known = state._replace(
        state=state.state or "awaiting",
        dues=state.dues or event == "OrderPlaced",
        reserved=state.reserved or event == "StockReserved",
        voided=state.voided or event not in {"OrderPlaced", "StockReserved"},
    )
    if known.state == "awaiting" and known.dues and known.reserved and not known.voided:
        return (Move(("ChargePayment",), known._replace(state="charging")),)
    return _refund_due(known, ())


def _charged(state: Bill) -> Moves:
    if state.state in {"captured", "declined", "refunding", "refunded"}:
        return (Move((), state),)
    if state.state != "charging":
        return ()
    declined = Move(("PaymentDeclined",), state._replace(state="declined"))
    return (*_refund_due(state._replace(state="captured"), ("PaymentCaptured",)), declined)


def _refund_due(state: Bill, gives: tuple[str, ...]) -> Moves:
    if state.state == "captured" and state.voided:
        return (Move((*gives, "RefundPayment"), state._replace(state="refunding")),)
    return (Move(gives, state),)


def fulfillment(state: Parcel, event: str) -> Moves:
    """Whichever comes first decides: the allocation or the cancellation."""
    if event == "StockAllocated":
        if state.dispatched or state.answer == "granted":
            return (Move((), state),)
        return (Move(("ShipmentDispatched",), state._replace(dispatched=True)),)
    if state.answer:
        return (Move((), state),)
    if state.dispatched:
        return (Move(("CancellationRefused",), state._replace(answer="refused")),)
    return (Move(("ShipmentCancelled",), state._replace(answer="granted")),)


NEWS = {
    "StockReserved": "reserved",
    "PaymentCaptured": "paid",
    "StockRejected": "rejected",
    "ShipmentDispatched": "shipped",
    "StockReleased:declined": "declined",
    "StockReleased:expired": "expired",
    "StockReleased:cancelled": "cancelled",
}


def checkout(state: Progress, event: str) -> Moves:
    """Let the status go on and never back; withhold an end while a cancellation is unanswered."""
    if event == ASKED:
        return () if state.status in ENDS else (Move((), state._replace(cancellation="asked")),)
    if event in {"ShipmentCancelled", "CancellationRefused"}:
        return _answered(state, granted=event == "ShipmentCancelled")
    news = NEWS[event]
    if news in ENDS and state.cancellation == "asked":
        return (Move((), state if state.withheld == "shipped" else state._replace(withheld=news)),)
    return (_onward(state, news),)


def _answered(state: Progress, *, granted: bool) -> Moves:
    if state.cancellation != "asked":
        return (Move((), state),) if state.cancellation else ()
    after = state._replace(cancellation="granted" if granted else "refused", withheld="")
    return (_onward(after, "cancelled" if granted else state.withheld),)


def _onward(state: Progress, news: str) -> Move:
    if PROGRESS.get(news, -1) <= PROGRESS.get(state.status, 3):
        return Move((), state)
    return Move((f"OrderStatusChanged:{news}",), state._replace(status=news))


MACHINES = {
    "checkout": Machine(Progress(), checkout, forgets=True),
    "inventory": Machine(Stand(), inventory),
    "accounting": Machine(Bill(), accounting),
    "fulfillment": Machine(Parcel(), fulfillment),
}
