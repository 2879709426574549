from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.domain import Captured, ChargeOutcome, Declined
from accounting.handlers import charge_reserved_order, processor, record_charge, remember_dues
from accounting.store import Ledger
from contracts import ChargePayment, Money, OrderLine, OrderPlaced, PaymentCaptured, PaymentDeclined, StockReserved
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


@dataclass
class Books:
    """Runs events through the handlers against one ledger, as a batch does, and keeps what they emit."""

    ledger: Ledger = field(default_factory=Ledger)
    emitted: list[Event] = field(default_factory=list)

    def take(self, event: Event, outcome: ChargeOutcome | None = None) -> Event | None:
        returned = self._handle(event, outcome)
        if returned is not None:
            self.emitted.append(returned)
        return returned

    def take_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.take(event, outcome_for(event))

    def of_type(self, event_type: type[Event], order_id: UUID) -> list[Event]:
        return [e for e in self.emitted if isinstance(e, event_type) and getattr(e, "order_id", None) == order_id]

    def _handle(self, event: Event, outcome: ChargeOutcome | None) -> Event | None:
        match event:
            case OrderPlaced():
                return remember_dues(event, self.ledger)
            case StockReserved():
                return charge_reserved_order(event, self.ledger)
            case ChargePayment() if outcome is not None:
                return record_charge(event, self.ledger, outcome)
        raise AssertionError(event)


def outcome_for(event: Event) -> ChargeOutcome | None:
    """A gateway that keeps its word: one answer an order."""
    if not isinstance(event, ChargePayment):
        return None
    number = event.order_id.int
    return Declined("no funds") if number % 2 == 0 else Captured(f"ch_{number}")


def test_the_processor_declares_what_accounting_reads_and_writes() -> None:
    assert processor.topics == {"orders", "orders.stock", "accounting.commands"}
    assert processor.emits == {ChargePayment, PaymentCaptured, PaymentDeclined}


def test_a_reserved_order_is_charged_what_it_owes() -> None:
    books = Books()
    assert books.take(an_order()) is None
    assert books.take(a_reservation()) == a_command()


def test_a_reservation_that_overtakes_its_order_is_remembered() -> None:
    books = Books()
    assert books.take(a_reservation()) is None
    assert books.take(an_order()) == a_command()


def test_a_capture_is_told_with_charge_and_invoice() -> None:
    told = Books().take(a_command(), Captured("ch_1"))
    assert isinstance(told, PaymentCaptured)
    assert (told.amount.amount_minor, told.charge_id) == (1250, "ch_1")
    assert told.invoice_number.startswith("INV-")


def test_a_refusal_is_told_with_its_reason() -> None:
    told = Books().take(a_command(), Declined("no funds"))
    assert told == PaymentDeclined(order_id=ORDERS[0], customer_id="anna", reason="no funds")


def test_an_outcome_is_told_once_however_often_the_command_comes() -> None:
    books = Books()
    assert books.take(a_command(), Captured("ch_1")) is not None
    assert books.take(a_command(), Captured("ch_1")) is None


def test_an_order_placed_again_with_another_amount_is_rejected() -> None:
    books = Books()
    books.take(an_order())
    with pytest.raises(RejectRecord, match="another amount"):
        books.take(an_order(amount_minor=1))


@pytest.mark.parametrize("event", [an_order(customer_id="bert"), a_reservation(customer_id="bert")])
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


facts = st.sampled_from([make(order_id) for order_id in ORDERS for make in (an_order, a_reservation, a_command)])


@given(st.lists(facts, max_size=30))
def test_in_any_order_and_doubled_an_order_is_charged_and_answered_at_most_once(events: list[Event]) -> None:
    books = Books()
    books.take_all(events)
    for order_id in ORDERS:
        seen = {type(event) for event in events if getattr(event, "order_id", None) == order_id}
        intents = books.of_type(ChargePayment, order_id)
        captured, declined = books.of_type(PaymentCaptured, order_id), books.of_type(PaymentDeclined, order_id)
        assert len(intents) <= int({OrderPlaced, StockReserved} <= seen)
        assert len(captured) + len(declined) == int(ChargePayment in seen)
        assert not (captured if order_id.int % 2 == 0 else declined)


@given(st.permutations([(make, order_id) for order_id in ORDERS for make in (an_order, a_reservation)] * 2))
def test_both_facts_in_any_order_lead_to_one_charge_and_one_answer(arrivals: list[tuple[type, UUID]]) -> None:
    books = Books()
    books.take_all(make(order_id) for make, order_id in arrivals)
    books.take_all(list(books.emitted) * 2)
    for order_id in ORDERS:
        assert books.of_type(ChargePayment, order_id) == [a_command(order_id)]
        assert len(books.of_type(PaymentCaptured, order_id) + books.of_type(PaymentDeclined, order_id)) == 1
