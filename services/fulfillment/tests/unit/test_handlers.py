from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import (
    CONSUMES,
    CancellationRefused,
    OrderCancelled,
    ShipmentCancelled,
    ShipmentDispatched,
    StockAllocated,
    StockLine,
)
from exactly_once import Event, RejectRecord
from fulfillment.domain import Answer, Fate, shipment_id_of
from fulfillment.handlers import decide_cancellation, processor, ship_order
from fulfillment.store import Shipments

ORDER = UUID(int=1)
ALLOCATED = StockAllocated(order_id=ORDER, customer_id="anna", lines=[StockLine(sku="cup", quantity=2)])
ASKED = OrderCancelled.model_validate(
    {"order_id": ORDER, "customer_id": "anna", "asked_at": "2026-01-02T03:04:05+00:00"}
)


def taken(shipments: Shipments, event: Event) -> Event | None:
    told = ship_order(event, shipments) if isinstance(event, StockAllocated) else None
    return decide_cancellation(event, shipments) if isinstance(event, OrderCancelled) else told


def shipments(fate: Fate | None = None) -> Shipments:
    return Shipments({ORDER: fate} if fate else {})


def test_what_is_allocated_is_shipped_whole_and_once() -> None:
    known = shipments()
    told = ship_order(ALLOCATED, known)
    assert isinstance(told, ShipmentDispatched)
    assert (told.shipment_id, told.lines) == (shipment_id_of(ORDER), ALLOCATED.lines)
    assert ship_order(ALLOCATED, known) is None


def test_a_cancellation_before_the_parcel_is_granted_and_nothing_is_shipped_ever() -> None:
    known = shipments()
    assert decide_cancellation(ASKED, known) == ShipmentCancelled(order_id=ORDER, customer_id="anna")
    assert ship_order(ALLOCATED, known) is None


def test_a_cancellation_after_the_parcel_is_refused() -> None:
    known = shipments()
    ship_order(ALLOCATED, known)
    assert decide_cancellation(ASKED, known) == CancellationRefused(order_id=ORDER, customer_id="anna")


@pytest.mark.parametrize("answer", list(Answer))
def test_a_cancellation_is_answered_once(answer: Answer) -> None:
    assert decide_cancellation(ASKED, shipments(Fate(dispatched=answer is Answer.REFUSED, answer=answer))) is None


def test_what_was_shipped_before_is_not_shipped_again() -> None:
    assert ship_order(ALLOCATED, shipments(Fate(dispatched=True))) is None


def test_an_allocation_of_nothing_is_a_dead_letter() -> None:
    with pytest.raises(RejectRecord, match="of nothing"):
        ship_order(ALLOCATED.model_copy(update={"lines": []}), shipments())


def test_either_the_parcel_or_the_cancellation_wins_whatever_comes_first() -> None:
    for order in permutations([ALLOCATED, ASKED, ALLOCATED, ASKED]):
        known = shipments()
        told = [type(each) for event in order if (each := taken(known, event)) is not None]
        first = [ShipmentDispatched, CancellationRefused] if order[0] is ALLOCATED else [ShipmentCancelled]
        assert told == first


@given(st.lists(st.sampled_from([ALLOCATED, ASKED]), max_size=8))
def test_one_shipment_or_one_cancellation_and_one_answer(events: list[Event]) -> None:
    known = shipments()
    told = [type(each) for event in events if (each := taken(known, event)) is not None]
    assert len([each for each in told if each in {ShipmentDispatched, ShipmentCancelled}]) == int(bool(events))
    assert len([each for each in told if each in {ShipmentCancelled, CancellationRefused}]) == int(ASKED in events)


def test_the_processor_handles_what_the_contracts_say() -> None:
    assert set(processor.handlers) == set(CONSUMES["fulfillment"])
    assert processor.emits == {ShipmentDispatched, ShipmentCancelled, CancellationRefused}
