from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.domain import Captured, ChargeOutcome, Declined, Refunded
from accounting.handlers import (
    charge_reserved_order,
    processor,
    record_charge,
    record_refund,
    refund_unallocated,
    remember_dues,
    void_cancelled,
    void_released,
)
from accounting.store import Ledger
from contracts import (
    AllocationFailed,
    ChargePayment,
    Money,
    OrderLine,
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    RefundPayment,
    ReleaseReason,
    ShipmentCancelled,
    StockReleased,
    StockReserved,
)
from exactly_once import Event, RejectRecord

ORDERS = [UUID(int=n) for n in range(1, 4)]
PLACED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def an_order(order_id: UUID = ORDERS[0], customer_id: str = "anna", amount_minor: int = 1250) -> OrderPlaced:
    price = Money(amount_minor=amount_minor, currency="EUR")
    return OrderPlaced(
        order_id=order_id,
        customer_id=customer_id,
        lines=[OrderLine(sku="cd", quantity=1, unit_price=price)],
        total=price,
        payment_token="tok_ok",
        placed_at=PLACED_AT,
    )


def a_reservation(order_id: UUID = ORDERS[0], customer_id: str = "anna") -> StockReserved:
    return StockReserved(order_id=order_id, customer_id=customer_id, lines=[])


def a_command(order_id: UUID = ORDERS[0], amount_minor: int = 1250) -> ChargePayment:
    amount = Money(amount_minor=amount_minor, currency="EUR")
    return ChargePayment(order_id=order_id, customer_id="anna", amount=amount, payment_token="tok_ok")


def a_cancellation(order_id: UUID = ORDERS[0], customer_id: str = "anna") -> ShipmentCancelled:
    return ShipmentCancelled(order_id=order_id, customer_id=customer_id)


def an_expiry(order_id: UUID = ORDERS[0], reason: ReleaseReason = ReleaseReason.EXPIRED) -> StockReleased:
    return StockReleased(order_id=order_id, customer_id="anna", reason=reason, lines=[])


def a_failure(order_id: UUID = ORDERS[0]) -> AllocationFailed:
    return AllocationFailed(order_id=order_id, customer_id="anna")


def a_refund_command(order_id: UUID = ORDERS[0], charge_id: str = "ch_1") -> RefundPayment:
    amount = Money(amount_minor=1250, currency="EUR")
    return RefundPayment(order_id=order_id, customer_id="anna", amount=amount, charge_id=charge_id)


VOIDING = [a_cancellation(), an_expiry(), an_expiry(reason=ReleaseReason.CANCELLED), a_failure()]


@dataclass
class Books:
    """Runs events through the handlers against one ledger, as a batch does, and keeps what they emit."""

    ledger: Ledger = field(default_factory=Ledger)
    emitted: list[Event] = field(default_factory=list)

    def take(self, event: Event, outcome: ChargeOutcome | None = None) -> list[Event]:
        returned = self._handle(event, outcome)
        told = list(returned) if isinstance(returned, Sequence) else [returned] if returned is not None else []
        self.emitted += told
        return told

    def take_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.take(event, outcome_for(event))

    def of_type(self, event_type: type[Event], order_id: UUID) -> list[Event]:
        return [e for e in self.emitted if isinstance(e, event_type) and getattr(e, "order_id", None) == order_id]

    def _handle(self, event: Event, outcome: ChargeOutcome | None) -> Event | Sequence[Event] | None:
        match event:
            case ChargePayment():
                assert outcome is not None
                return record_charge(event, self.ledger, outcome)
            case RefundPayment():
                return record_refund(event, self.ledger, Refunded(f"re_{event.order_id.int}"))
        handler = processor.handlers[type(event)].function
        return handler(event, self.ledger)


def outcome_for(event: Event) -> ChargeOutcome | None:
    """A gateway that keeps its word: one answer an order."""
    if not isinstance(event, ChargePayment):
        return None
    number = event.order_id.int
    return Declined("no funds") if number % 2 == 0 else Captured(f"ch_{number}")


def test_the_processor_declares_what_accounting_reads_and_writes() -> None:
    assert processor.topics == {"orders", "orders.stock", "orders.shipping", "accounting.commands"}
    assert processor.emits == {ChargePayment, RefundPayment, PaymentCaptured, PaymentDeclined, PaymentRefunded}
    handled = {handler.function for handler in processor.handlers.values()}
    assert handled >= {remember_dues, charge_reserved_order, void_released, refund_unallocated, void_cancelled}


def test_a_reserved_order_is_charged_what_it_owes() -> None:
    books = Books()
    assert books.take(an_order()) == []
    assert books.take(a_reservation()) == [a_command()]


def test_a_reservation_that_overtakes_its_order_is_remembered() -> None:
    books = Books()
    assert books.take(a_reservation()) == []
    assert books.take(an_order()) == [a_command()]


def test_a_capture_is_told_with_charge_and_invoice() -> None:
    (told,) = Books().take(a_command(), Captured("ch_1"))
    assert isinstance(told, PaymentCaptured)
    assert (told.amount.amount_minor, told.charge_id) == (1250, "ch_1")
    assert told.invoice_number.startswith("INV-")


def test_a_refusal_is_told_with_its_reason() -> None:
    told = Books().take(a_command(), Declined("no funds"))
    assert told == [PaymentDeclined(order_id=ORDERS[0], customer_id="anna", reason="no funds")]


def test_an_outcome_is_told_once_however_often_the_command_comes() -> None:
    books = Books()
    assert books.take(a_command(), Captured("ch_1")) != []
    assert books.take(a_command(), Captured("ch_1")) == []


@pytest.mark.parametrize("voiding", VOIDING)
def test_what_is_void_before_its_charge_is_never_charged(voiding: Event) -> None:
    for events in ([voiding, an_order(), a_reservation()], [an_order(), voiding, a_reservation()]):
        books = Books()
        books.take_all(events)
        assert books.emitted == []


@pytest.mark.parametrize("voiding", VOIDING)
def test_what_becomes_void_while_it_is_charged_is_told_and_refunded_with_its_outcome(voiding: Event) -> None:
    books = Books()
    books.take_all([an_order(), a_reservation()])
    assert books.take(voiding) == []
    captured, refund = books.take(a_command(), Captured("ch_1"))
    assert isinstance(captured, PaymentCaptured)
    assert refund == a_refund_command()


@pytest.mark.parametrize("voiding", VOIDING)
def test_what_becomes_void_while_it_is_declined_costs_nothing(voiding: Event) -> None:
    books = Books()
    books.take_all([an_order(), a_reservation(), voiding])
    assert list(map(type, books.take(a_command(), Declined("no funds")))) == [PaymentDeclined]


@pytest.mark.parametrize("voiding", VOIDING)
def test_what_becomes_void_after_it_was_paid_is_refunded_once(voiding: Event) -> None:
    books = Books()
    books.take(a_command(), Captured("ch_1"))
    assert books.take(voiding) == [a_refund_command()]
    assert [told for again in VOIDING for told in books.take(again)] == []


def test_a_release_after_a_refusal_is_none_of_accountings_business() -> None:
    books = Books()
    books.take(a_command(), Captured("ch_1"))
    assert books.take(an_expiry(reason=ReleaseReason.DECLINED)) == []


def test_a_refund_is_told_once_with_charge_and_refund() -> None:
    books = Books()
    books.take(a_command(), Captured("ch_1"))
    books.take(a_cancellation())
    (told,) = books.take(a_refund_command())
    assert isinstance(told, PaymentRefunded)
    assert (told.amount.amount_minor, told.charge_id, told.refund_id) == (1250, "ch_1", "re_1")
    assert books.take(a_refund_command()) == []


def test_a_refund_that_nobody_ordered_is_rejected() -> None:
    with pytest.raises(RejectRecord, match="and yet refunded"):
        Books().take(a_refund_command())


def test_an_order_placed_again_with_another_amount_is_rejected() -> None:
    books = Books()
    books.take(an_order())
    with pytest.raises(RejectRecord, match="another amount"):
        books.take(an_order(amount_minor=1))


OF_BERT = [an_order(customer_id="bert"), a_reservation(customer_id="bert"), a_cancellation(customer_id="bert")]


@pytest.mark.parametrize("event", OF_BERT)
def test_an_order_that_changes_its_customer_is_rejected(event: Event) -> None:
    books = Books()
    books.take(an_order())
    with pytest.raises(RejectRecord, match="another customer"):
        books.take(event)


def test_a_gateway_that_changes_its_answer_is_rejected() -> None:
    books = Books()
    books.take(a_command(), Captured("ch_1"))
    with pytest.raises(RejectRecord, match="took back"):
        books.take(a_command(), Declined("no funds"))


MAKERS = (an_order, a_reservation, a_command, a_cancellation, an_expiry, a_failure)
facts = st.sampled_from([make(order_id) for order_id in ORDERS for make in MAKERS])


@given(st.lists(facts, max_size=30))
def test_in_any_order_and_doubled_an_order_is_charged_answered_and_refunded_at_most_once(events: list[Event]) -> None:
    books = Books()
    books.take_all(events)
    books.take_all([event for event in books.emitted if isinstance(event, RefundPayment)] * 2)
    for order_id in ORDERS:
        seen = {type(event) for event in events if getattr(event, "order_id", None) == order_id}
        intents = books.of_type(ChargePayment, order_id)
        captured, declined = books.of_type(PaymentCaptured, order_id), books.of_type(PaymentDeclined, order_id)
        void = bool(seen & {ShipmentCancelled, StockReleased, AllocationFailed})
        assert len(intents) <= int({OrderPlaced, StockReserved} <= seen)
        assert len(captured) + len(declined) == int(ChargePayment in seen)
        assert not (captured if order_id.int % 2 == 0 else declined)
        assert len(books.of_type(RefundPayment, order_id)) == int(bool(captured) and void)
        assert len(books.of_type(PaymentRefunded, order_id)) == int(bool(captured) and void)


@given(st.permutations([(make, order_id) for order_id in ORDERS for make in (an_order, a_reservation)] * 2))
def test_both_facts_in_any_order_lead_to_one_charge_and_one_answer(arrivals: list[tuple[type, UUID]]) -> None:
    books = Books()
    books.take_all(make(order_id) for make, order_id in arrivals)
    books.take_all(list(books.emitted) * 2)
    for order_id in ORDERS:
        assert books.of_type(ChargePayment, order_id) == [a_command(order_id)]
        assert len(books.of_type(PaymentCaptured, order_id) + books.of_type(PaymentDeclined, order_id)) == 1
