"""What is refused before it can become an event."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from contracts import EVENTS, Money, OrderLine, OrderPlaced, StockLine

ORDER = UUID("0b7a9f4e-3c1d-4f8a-9a55-2d1f0c6f1e11")


def order(**changes: Any) -> OrderPlaced:
    price = Money(amount_minor=1250, currency="EUR")
    fields: dict[str, Any] = {
        "order_id": ORDER,
        "customer_id": "CUST123",
        "lines": [OrderLine(sku="tea", quantity=2, unit_price=price)],
        "total": price.times(2),
        "payment_token": "tok_ok",
        "placed_at": dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
    }
    return OrderPlaced(**(fields | changes))


def test_the_key_of_an_order_is_its_customer() -> None:
    assert order().partition_key() == b"CUST123"


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001])
def test_a_quantity_is_positive_and_within_reason(quantity: int) -> None:
    with pytest.raises(ValidationError):
        StockLine(sku="tea", quantity=quantity)


@pytest.mark.parametrize(("amount", "currency"), [(-1, "EUR"), (10**15 + 1, "EUR"), (1, "eur"), (1, "EURO"), (1, "")])
def test_money_is_not_negative_and_has_a_currency(amount: int, currency: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount_minor=amount, currency=currency)


def test_a_currency_followed_by_a_line_break_is_refused() -> None:
    with pytest.raises(ValidationError):
        Money(amount_minor=1, currency="EUR\n")


@pytest.mark.parametrize("customer", ["", "c" * 101])
def test_a_customer_has_a_name_of_reasonable_length(customer: str) -> None:
    with pytest.raises(ValidationError):
        order(customer_id=customer)


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="time zone"):
        order(placed_at=dt.datetime(2026, 1, 2))  # noqa: DTZ001 - the point of this test


def test_an_order_for_nothing_is_an_event_that_inventory_may_reject() -> None:
    assert order(lines=[]).lines == []


def test_an_order_of_nought_is_allowed() -> None:
    assert order(total=Money(amount_minor=0, currency="EUR")).total.amount_minor == 0


def test_two_currencies_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Money(amount_minor=1, currency="EUR") + Money(amount_minor=1, currency="GBP")


def test_money_adds_and_multiplies() -> None:
    assert Money(amount_minor=250, currency="EUR").times(3) + Money(amount_minor=1, currency="EUR") == Money(
        amount_minor=751, currency="EUR"
    )


def test_every_event_says_what_it_means_and_takes_no_field_it_does_not_know() -> None:
    for event in EVENTS:
        assert event.__doc__
        assert event.model_config["extra"] == "forbid"
        assert event.model_config["frozen"]
