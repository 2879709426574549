import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.domain import (
    RANKS,
    MixedCurrenciesError,
    TotalTooLargeError,
    UnknownSkusError,
    body_digest,
    follows,
    priced,
    total_of,
)
from contracts import Money, OrderStatus
from contracts.money import MAX_MINOR


def euros(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


PRICES = {"cup": euros(250), "pot": euros(1999), "gift": euros(0)}


def test_an_order_costs_the_sum_of_its_lines() -> None:
    lines = priced([("cup", 3), ("pot", 1)], PRICES)
    assert [(line.sku, line.quantity, line.unit_price) for line in lines] == [
        ("cup", 3, euros(250)),
        ("pot", 1, euros(1999)),
    ]
    assert total_of(lines) == euros(2749)


def test_a_sku_named_twice_is_one_line() -> None:
    assert [(line.sku, line.quantity) for line in priced([("cup", 1), ("pot", 1), ("cup", 2)], PRICES)] == [
        ("cup", 3),
        ("pot", 1),
    ]


def test_a_total_of_nothing_is_allowed() -> None:
    assert total_of(priced([("gift", 5)], PRICES)) == euros(0)


def test_every_unknown_sku_is_named() -> None:
    with pytest.raises(UnknownSkusError) as caught:
        priced([("spoon", 1), ("cup", 1), ("fork", 1)], PRICES)
    assert caught.value.skus == ["fork", "spoon"]


def test_two_currencies_do_not_add_up() -> None:
    prices = PRICES | {"dollar": Money(amount_minor=1, currency="USD")}
    with pytest.raises(MixedCurrenciesError):
        total_of(priced([("cup", 1), ("dollar", 1)], prices))


def test_a_total_beyond_any_amount_is_refused() -> None:
    with pytest.raises(TotalTooLargeError):
        total_of(priced([("gold", 2)], {"gold": euros(MAX_MINOR)}))


@given(st.permutations([OrderStatus.RESERVED, OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.RESERVED]))
def test_news_in_any_order_end_in_the_same_status(news: list[OrderStatus]) -> None:
    status = OrderStatus.PLACED
    for new in news:
        status = new if follows(new, status) else status
    assert status is OrderStatus.SHIPPED


def test_every_status_has_a_rank_and_no_end_follows_another() -> None:
    assert set(RANKS) == set(OrderStatus)
    ends = set(OrderStatus) - {OrderStatus.PLACED, OrderStatus.RESERVED, OrderStatus.PAID}
    assert not any(follows(new, old) for new in ends for old in ends)


def test_the_digest_tells_bodies_apart_and_not_their_spelling() -> None:
    assert body_digest({"a": 1, "b": [2]}) == body_digest({"b": [2], "a": 1})
    assert body_digest({"a": 1}) != body_digest({"a": 2})
