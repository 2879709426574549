from uuid import UUID

import pytest

from inventory.domain import Reservation, ReservationState, Stock, demanded, expiry_id_of, shortages

ORDER = UUID(int=1)


def test_a_unit_moves_from_the_shelf_to_the_order_and_out() -> None:
    stock = Stock(received=10, free=10)
    assert stock.hold(3) == Stock(received=10, free=7, held=3)
    assert stock.hold(3).release(3) == stock
    assert stock.hold(3).ship(3) == Stock(received=10, free=7, shipped=3)


def test_lines_of_one_product_ask_together() -> None:
    assert demanded([("cup", 1), ("pot", 2), ("cup", 3)]) == {"cup": 4, "pot": 2}


def test_what_is_short_is_named_and_what_is_unknown_is_short() -> None:
    stock = {"cup": Stock(received=4, free=4), "pot": Stock(received=9, free=1, held=8)}
    assert shortages({"cup": 4, "pot": 2, "jar": 1}, stock) == ["jar", "pot"]
    assert shortages({"cup": 4, "pot": 1}, stock) == []


def test_a_product_that_nobody_has_counted_has_no_units_at_all() -> None:
    assert Stock() == Stock(received=0, free=0, held=0, shipped=0)


@pytest.mark.parametrize("state", list(ReservationState))
def test_units_are_held_until_they_are_released_or_shipped(state: ReservationState) -> None:
    expected = state in {ReservationState.HELD, ReservationState.ALLOCATED}
    assert Reservation(ORDER, "anna", state, {}).is_held == expected


def test_an_order_expires_under_one_event_id_that_is_its_own() -> None:
    assert expiry_id_of(ORDER) == "574d2d16-5e00-5fa2-9934-135a70599b2c"
    assert expiry_id_of(UUID(int=2)) != expiry_id_of(ORDER)
