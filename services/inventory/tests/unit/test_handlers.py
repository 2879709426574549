from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import (
    CONSUMES,
    AllocationFailed,
    ExpireReservation,
    Money,
    OrderLine,
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    ReleaseReason,
    ShipmentCancelled,
    ShipmentDispatched,
    StockAllocated,
    StockLine,
    StockRejected,
    StockReleased,
    StockReserved,
)
from exactly_once import Event, RejectRecord
from inventory.domain import Reservation, ReservationState, Stock
from inventory.handlers import processor
from inventory.shelf import Shelf

ORDERS = [UUID(int=number) for number in range(1, 5)]
ORDER = ORDERS[0]
EURO = Money(amount_minor=100, currency="EUR")
LINES = [StockLine(sku="cup", quantity=2)]


def placed(order_id: UUID = ORDER, quantity: int = 2) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id,
        customer_id="anna",
        lines=[OrderLine(sku="cup", quantity=quantity, unit_price=EURO)] if quantity else [],
        total=EURO.times(quantity),
        payment_token="tok_ok",
        placed_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def paid(order_id: UUID = ORDER) -> PaymentCaptured:
    return PaymentCaptured(
        order_id=order_id, customer_id="anna", amount=EURO, charge_id="ch_1", invoice_number=f"INV-{order_id.int}"
    )


def declined(order_id: UUID = ORDER) -> PaymentDeclined:
    return PaymentDeclined(order_id=order_id, customer_id="anna", reason="no funds")


def expired(order_id: UUID = ORDER) -> ExpireReservation:
    return ExpireReservation(order_id=order_id, customer_id="anna")


def cancelled(order_id: UUID = ORDER) -> ShipmentCancelled:
    return ShipmentCancelled(order_id=order_id, customer_id="anna")


def shipped(order_id: UUID = ORDER) -> ShipmentDispatched:
    return ShipmentDispatched(order_id=order_id, customer_id="anna", shipment_id=UUID(int=9), lines=LINES)


@dataclass
class House:
    """Runs events through the handlers against one shelf with ten cups, as a batch does."""

    shelf: Shelf = field(default_factory=lambda: Shelf({"cup": Stock(received=10, free=10)}, {}))

    def take(self, *events: Event) -> list[Any]:
        told = [processor.handlers[type(event)].function(event, self.shelf) for event in events]
        return [each for each in told if each is not None]

    @property
    def stock(self) -> Stock:
        return self.shelf.stock_of("cup")

    def state(self, order_id: UUID = ORDER) -> ReservationState | None:
        reservation = self.shelf.reservation(order_id)
        return reservation.state if reservation else None


def test_an_order_is_held_whole() -> None:
    house = House()
    assert house.take(placed()) == [StockReserved(order_id=ORDER, customer_id="anna", lines=LINES)]
    assert house.stock == Stock(received=10, free=8, held=2)


def test_an_order_that_is_short_holds_nothing() -> None:
    house = House()
    assert house.take(placed(quantity=11)) == [StockRejected(order_id=ORDER, customer_id="anna", short_skus=["cup"])]
    assert (house.stock, house.state()) == (Stock(received=10, free=10), ReservationState.REJECTED)


def test_an_order_for_nothing_is_a_dead_letter() -> None:
    with pytest.raises(RejectRecord, match="for nothing"):
        House().take(placed(quantity=0))


def test_the_way_of_an_order_that_goes_well() -> None:
    house = House()
    _, allocated = house.take(placed(), paid(), shipped())
    assert allocated == StockAllocated(order_id=ORDER, customer_id="anna", lines=LINES)
    assert (house.stock, house.state()) == (Stock(received=10, free=8, shipped=2), ReservationState.SHIPPED)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([declined()], ReleaseReason.DECLINED),
        ([expired()], ReleaseReason.EXPIRED),
        ([cancelled()], ReleaseReason.CANCELLED),
        ([paid(), cancelled()], ReleaseReason.CANCELLED),
        ([expired(), declined(), cancelled()], ReleaseReason.EXPIRED),
        ([cancelled(), expired(), declined()], ReleaseReason.CANCELLED),
        ([declined(), cancelled(), expired()], ReleaseReason.DECLINED),
    ],
)
def test_what_is_held_goes_back_once_for_the_first_reason(events: list[Event], reason: ReleaseReason) -> None:
    house = House()
    told = [each for each in house.take(placed(), *events, *events) if isinstance(each, StockReleased)]
    assert told == [StockReleased(order_id=ORDER, customer_id="anna", reason=reason, lines=LINES)]
    assert (house.stock, house.state()) == (Stock(received=10, free=10), ReservationState.RELEASED)


@pytest.mark.parametrize("gone", [expired(), cancelled(), declined()])
def test_a_payment_for_what_is_held_no_longer_fails_once(gone: Event) -> None:
    house = House()
    house.take(placed(), gone)
    assert house.take(paid(), paid()) == [AllocationFailed(order_id=ORDER, customer_id="anna")]
    assert house.stock == Stock(received=10, free=10)


def test_a_payment_is_answered_once_even_after_its_goods_went_back() -> None:
    house = House()
    house.take(placed(), paid(), cancelled())
    assert house.take(paid()) == []


@pytest.mark.parametrize("late", [placed(), paid(), declined(), expired(), shipped()])
def test_what_comes_late_to_a_shipped_order_changes_nothing(late: Event) -> None:
    house = House()
    house.take(placed(), paid(), shipped())
    assert house.take(late) == []
    assert house.state() is ReservationState.SHIPPED


def test_what_is_paid_for_does_not_expire() -> None:
    house = House()
    house.take(placed(), paid())
    assert house.take(expired(), declined()) == []
    assert house.state() is ReservationState.ALLOCATED


def test_a_cancellation_that_overtakes_its_order_holds_nothing_ever() -> None:
    house = House()
    assert house.take(cancelled(), placed(), cancelled(), placed()) == []
    assert (house.stock, house.state()) == (Stock(received=10, free=10), ReservationState.CANCELLED)


def test_a_cancellation_of_what_was_rejected_changes_nothing() -> None:
    house = House()
    house.take(placed(quantity=11))
    assert house.take(cancelled()) == []
    assert house.state() is ReservationState.REJECTED


@pytest.mark.parametrize("event", [paid(), declined(), expired(), shipped()])
def test_news_of_a_reservation_that_never_was_are_a_dead_letter(event: Event) -> None:
    with pytest.raises(RejectRecord, match="no reservation"):
        House().take(event)


def test_a_payment_for_what_was_rejected_is_a_dead_letter() -> None:
    house = House()
    house.take(placed(quantity=11))
    with pytest.raises(RejectRecord, match="a payment for a reservation that is rejected"):
        house.take(paid())


def test_a_shipment_of_what_is_not_allocated_is_a_dead_letter() -> None:
    house = House()
    house.take(placed())
    with pytest.raises(RejectRecord, match="a shipment of a reservation that is held"):
        house.take(shipped())


def test_the_cancellation_of_what_left_is_a_dead_letter() -> None:
    house = House()
    house.take(placed(), paid(), shipped())
    with pytest.raises(RejectRecord, match="that left"):
        house.take(cancelled())


MAKERS = (paid, declined, expired, cancelled)
STEPS = [make(order_id) for order_id in ORDERS for make in MAKERS]


@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_in_any_order_and_doubled_no_unit_is_lost_and_each_order_has_one_verdict(events: list[Event]) -> None:
    house = House()
    told = house.take(*(placed(order_id) for order_id in ORDERS), *events)
    verdicts = Counter((type(each), each.order_id) for each in told)
    assert max(verdicts.values()) == 1
    assert house.stock.free + house.stock.held == house.stock.received == 10
    held = [reservation for reservation in map(house.shelf.reservation, ORDERS) if reservation and reservation.is_held]
    assert house.stock.held == sum(units for reservation in held for units in reservation.lines.values())


def test_a_reservation_remembers_its_payment() -> None:
    reservation = Reservation(ORDER, "anna", ReservationState.RELEASED, {"cup": 2}, paid=True)
    house = House(Shelf({"cup": Stock(received=10, free=10)}, {ORDER: reservation}))
    assert house.take(paid()) == []


def test_the_processor_handles_what_the_contracts_say() -> None:
    assert set(processor.handlers) == set(CONSUMES["inventory"])
