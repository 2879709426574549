from uuid import UUID

import pytest

from checkout.domain import Cancellation, Progress
from checkout.handlers import (
    note_cancelled,
    note_paid,
    note_refused,
    note_rejected,
    note_released,
    note_reserved,
    note_shipped,
    processor,
    take_price,
)
from checkout.statuses import Statuses
from checkout.store import PriceList
from contracts import (
    CONSUMES,
    CancellationRefused,
    Money,
    OrderStatus,
    OrderStatusChanged,
    PaymentCaptured,
    ProductListed,
    ReleaseReason,
    ShipmentCancelled,
    ShipmentDispatched,
    StockRejected,
    StockReleased,
    StockReserved,
)
from exactly_once import RejectRecord

ORDER = UUID(int=1)
ANNA = {"order_id": ORDER, "customer_id": "anna"}
RESERVED = StockReserved(**ANNA, lines=[])
REJECTED = StockRejected(**ANNA, short_skus=["cup"])
PAID = PaymentCaptured(**ANNA, amount=Money(amount_minor=1, currency="EUR"), charge_id="ch_1", invoice_number="INV-1")
SHIPPED = ShipmentDispatched(**ANNA, shipment_id=UUID(int=2), lines=[])
CANCELLED = ShipmentCancelled(**ANNA)
REFUSED = CancellationRefused(**ANNA)


def released(reason: ReleaseReason) -> StockReleased:
    return StockReleased(**ANNA, reason=reason, lines=[])


def statuses(status: OrderStatus = OrderStatus.PLACED) -> Statuses:
    return Statuses([(ORDER, "anna", Progress(status))])


def cancelling(status: OrderStatus = OrderStatus.PLACED) -> Statuses:
    return Statuses([(ORDER, "anna", Progress(status, Cancellation.ASKED))])


def said(change: OrderStatusChanged | None) -> str | None:
    return None if change is None else change.status.value


def test_the_status_moves_forward_and_each_move_is_told_once() -> None:
    known = statuses()
    told = [note_reserved(RESERVED, known), note_reserved(RESERVED, known), note_paid(PAID, known)]
    told += [note_paid(PAID, known), note_shipped(SHIPPED, known), note_shipped(SHIPPED, known)]
    assert list(map(said, told)) == ["reserved", None, "paid", None, "shipped", None]


def test_late_news_of_another_topic_change_nothing() -> None:
    known = statuses()
    assert said(note_shipped(SHIPPED, known)) == "shipped"
    assert note_paid(PAID, known) is None
    assert note_reserved(RESERVED, known) is None


@pytest.mark.parametrize("reason", list(ReleaseReason))
def test_a_release_ends_the_order_for_its_reason(reason: ReleaseReason) -> None:
    assert said(note_released(released(reason), statuses(OrderStatus.RESERVED))) == reason.value


def test_a_release_may_arrive_before_the_reservation() -> None:
    known = statuses()
    assert said(note_released(released(ReleaseReason.DECLINED), known)) == "declined"
    assert note_reserved(RESERVED, known) is None


def test_short_stock_ends_the_order() -> None:
    assert said(note_rejected(REJECTED, statuses())) == "rejected"


def test_an_end_stays_the_end() -> None:
    known = statuses(OrderStatus.REJECTED)
    assert note_shipped(SHIPPED, known) is None
    assert note_released(released(ReleaseReason.DECLINED), known) is None


def test_a_cancellation_that_came_in_time_is_the_end_whatever_inventory_says_before_or_after() -> None:
    for news in ([], [released(ReleaseReason.CANCELLED)], [released(ReleaseReason.EXPIRED)]):
        known = cancelling()
        assert [note_released(each, known) for each in news] == [None] * len(news)
        assert said(note_cancelled(CANCELLED, known)) == "cancelled"
        assert note_released(released(ReleaseReason.CANCELLED), known) is None
        assert note_cancelled(CANCELLED, known) is None


def test_a_rejection_waits_for_the_answer_to_a_cancellation() -> None:
    known = cancelling()
    assert note_rejected(REJECTED, known) is None
    assert said(note_cancelled(CANCELLED, known)) == "cancelled"


def test_a_refused_cancellation_ends_as_shipped_once_the_parcel_is_known() -> None:
    known = cancelling()
    assert note_shipped(SHIPPED, known) is None
    assert said(note_paid(PAID, known)) == "paid"
    assert said(note_refused(REFUSED, known)) == "shipped"
    assert note_shipped(SHIPPED, known) is None


def test_an_order_that_checkout_never_accepted_is_a_dead_letter() -> None:
    with pytest.raises(RejectRecord, match="accepted no order"):
        note_reserved(RESERVED, Statuses([]))


def test_news_under_another_customers_name_are_a_dead_letter() -> None:
    with pytest.raises(RejectRecord, match="another customer"):
        note_reserved(RESERVED, Statuses([(ORDER, "ben", Progress(OrderStatus.PLACED))]))


def test_a_listing_emits_nothing() -> None:
    listed = ProductListed(sku="cup", name="A cup", unit_price=Money(amount_minor=1, currency="EUR"))
    take_price(listed, PriceList())
    assert processor.emits == {OrderStatusChanged}


def test_the_processor_handles_what_the_contracts_say() -> None:
    assert set(processor.handlers) == set(CONSUMES["checkout"])
