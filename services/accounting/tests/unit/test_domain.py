from collections.abc import Callable
from uuid import UUID

import pytest

from accounting.domain import Captured, ContradictionError, Declined, Dues, Payment, Refunded, State, invoice_number

ORDER = UUID("6e7a9a3c-7f5b-4c8e-9a1d-000000000001")
DUES = Dues(1250, "EUR", "tok_ok")


def a_payment() -> Payment:
    return Payment(ORDER, "anna")


def a_charging_payment() -> Payment:
    payment = a_payment()
    payment.learn_dues(DUES)
    payment.learn_reservation()
    return payment


def test_the_amount_alone_charges_nothing() -> None:
    payment = a_payment()
    assert payment.learn_dues(DUES) is None
    assert payment.state is State.AWAITING


def test_the_go_ahead_alone_charges_nothing() -> None:
    payment = a_payment()
    assert payment.learn_reservation() is None
    assert payment.state is State.AWAITING


def test_the_second_of_the_two_facts_starts_the_charge() -> None:
    placed_first, reserved_first = a_payment(), a_payment()
    placed_first.learn_dues(DUES)
    reserved_first.learn_reservation()
    assert placed_first.learn_reservation() == DUES
    assert reserved_first.learn_dues(DUES) == DUES
    assert placed_first.state is reserved_first.state is State.CHARGING


def test_facts_told_again_start_no_second_charge() -> None:
    payment = a_charging_payment()
    assert payment.learn_dues(DUES) is None
    assert payment.learn_reservation() is None


def test_another_amount_for_the_same_order_is_a_contradiction() -> None:
    payment = a_charging_payment()
    with pytest.raises(ContradictionError, match="another amount"):
        payment.learn_dues(Dues(1251, "EUR", "tok_ok"))
    assert payment.dues == DUES


def test_a_capture_is_recorded_with_its_invoice() -> None:
    payment = a_charging_payment()
    assert payment.record(DUES, Captured("ch_1"))
    assert (payment.state, payment.charge_id) == (State.CAPTURED, "ch_1")
    assert payment.invoice_number == invoice_number(ORDER)


def test_a_refusal_is_recorded_without_an_invoice() -> None:
    payment = a_charging_payment()
    assert payment.record(DUES, Declined("no funds"))
    assert (payment.state, payment.decline_reason, payment.invoice_number) == (State.DECLINED, "no funds", None)


def test_an_outcome_is_recorded_though_nothing_else_is_known() -> None:
    payment = a_payment()
    assert payment.record(DUES, Captured("ch_1"))
    assert (payment.state, payment.dues, payment.reserved) == (State.CAPTURED, DUES, True)


@pytest.mark.parametrize("outcome", [Captured("ch_1"), Declined("no funds")])
def test_an_outcome_told_again_is_no_news(outcome: Captured | Declined) -> None:
    payment = a_charging_payment()
    payment.record(DUES, outcome)
    assert not payment.record(DUES, outcome)


@pytest.mark.parametrize("outcome", [Captured("ch_2"), Declined("no funds")])
def test_a_gateway_that_takes_back_a_capture_is_a_contradiction(outcome: Captured | Declined) -> None:
    payment = a_charging_payment()
    payment.record(DUES, Captured("ch_1"))
    with pytest.raises(ContradictionError, match="took back"):
        payment.record(DUES, outcome)
    assert payment.charge_id == "ch_1"


def test_an_order_has_one_invoice_number_and_it_is_its_own() -> None:
    assert invoice_number(ORDER) == "INV-4647FC46BB2E515C"
    assert invoice_number(UUID(int=ORDER.int + 1)) != invoice_number(ORDER)


def test_nothing_costs_nothing_and_is_charged_all_the_same() -> None:
    payment = a_payment()
    payment.learn_reservation()
    free = Dues(0, "EUR", "tok_ok")
    assert payment.learn_dues(free) == free


def a_captured_payment() -> Payment:
    payment = a_charging_payment()
    payment.record(DUES, Captured("ch_1"))
    return payment


def test_a_void_payment_is_never_charged_whatever_comes_later() -> None:
    payment = a_payment()
    payment.void()
    assert payment.learn_dues(DUES) is None
    assert payment.learn_reservation() is None
    assert (payment.state, payment.start_refunding()) == (State.AWAITING, None)


def test_nothing_goes_back_while_the_charge_is_unknown() -> None:
    payment = a_charging_payment()
    payment.void()
    assert payment.start_refunding() is None
    assert payment.state is State.CHARGING


def test_what_was_void_before_it_was_captured_goes_back() -> None:
    payment = a_charging_payment()
    payment.void()
    payment.record(DUES, Captured("ch_1"))
    assert payment.start_refunding() == DUES
    assert payment.state is State.REFUNDING


def test_what_becomes_void_after_it_was_captured_goes_back_once() -> None:
    payment = a_captured_payment()
    assert payment.start_refunding() is None
    payment.void()
    assert payment.start_refunding() == DUES
    payment.void()
    assert payment.start_refunding() is None


def test_a_refused_charge_leaves_nothing_to_give_back() -> None:
    payment = a_charging_payment()
    payment.void()
    payment.record(DUES, Declined("no funds"))
    assert payment.start_refunding() is None
    assert payment.state is State.DECLINED


def a_refunding_payment() -> Payment:
    payment = a_captured_payment()
    payment.void()
    payment.start_refunding()
    return payment


def test_a_refund_is_recorded_and_keeps_charge_and_invoice() -> None:
    payment = a_refunding_payment()
    assert payment.record_refund(Refunded("re_1"))
    assert (payment.state, payment.refund_id, payment.charge_id) == (State.REFUNDED, "re_1", "ch_1")
    assert payment.invoice_number == invoice_number(ORDER)


def test_a_refund_told_again_is_no_news() -> None:
    payment = a_refunding_payment()
    payment.record_refund(Refunded("re_1"))
    assert not payment.record_refund(Refunded("re_1"))


@pytest.mark.parametrize("other", ["re_0", "re_2"])
def test_a_second_refund_is_a_contradiction(other: str) -> None:
    payment = a_refunding_payment()
    payment.record_refund(Refunded("re_1"))
    with pytest.raises(ContradictionError, match="and yet refunded"):
        payment.record_refund(Refunded(other))


def test_a_refund_of_what_is_kept_is_a_contradiction() -> None:
    with pytest.raises(ContradictionError, match="is captured, and yet refunded"):
        a_captured_payment().record_refund(Refunded("re_1"))


@pytest.mark.parametrize("make", [a_refunding_payment, a_captured_payment])
def test_a_capture_told_again_is_no_news_after_the_refund_began(make: Callable[[], Payment]) -> None:
    payment = make()
    assert not payment.record(DUES, Captured("ch_1"))
    with pytest.raises(ContradictionError, match="took back"):
        payment.record(DUES, Captured("ch_2"))
