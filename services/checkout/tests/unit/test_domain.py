import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.domain import (
    ENDS,
    RANKS,
    Cancellation,
    MixedCurrenciesError,
    Progress,
    TotalTooLargeError,
    UnknownSkusError,
    follows,
    priced,
    total_of,
)
from checkout.watching import Standing
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
    assert str(caught.value) == "there are no products fork, spoon"


def test_two_currencies_do_not_add_up() -> None:
    prices = PRICES | {"dollar": Money(amount_minor=1, currency="USD")}
    with pytest.raises(MixedCurrenciesError):
        total_of(priced([("cup", 1), ("dollar", 1)], prices))


def test_nothing_has_no_currency() -> None:
    with pytest.raises(MixedCurrenciesError):
        total_of([])


def test_the_largest_amount_is_a_total() -> None:
    lines = priced([("gold", 1), ("cent", 1)], {"gold": euros(MAX_MINOR - 1), "cent": euros(1)})
    assert total_of(lines) == euros(MAX_MINOR)


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


@pytest.mark.parametrize("status", sorted(set(OrderStatus) - ENDS))
def test_an_order_under_way_can_be_cancelled_and_asking_again_changes_nothing(status: OrderStatus) -> None:
    progress = Progress(status)
    assert progress.ask()
    assert progress.ask()
    assert progress == Progress(status, Cancellation.ASKED)


@pytest.mark.parametrize("end", sorted(ENDS))
def test_an_order_that_has_ended_can_not_be_cancelled(end: OrderStatus) -> None:
    progress = Progress(end)
    assert not progress.ask()
    assert progress == Progress(end)


def test_an_order_goes_on_while_its_cancellation_is_unanswered_but_does_not_end() -> None:
    progress = Progress(OrderStatus.PLACED, Cancellation.ASKED)
    assert progress.learn(OrderStatus.RESERVED)
    assert not progress.learn(OrderStatus.EXPIRED)
    assert progress == Progress(OrderStatus.RESERVED, Cancellation.ASKED, OrderStatus.EXPIRED)


@pytest.mark.parametrize("verdict", [None, *sorted(ENDS - {OrderStatus.SHIPPED})])
def test_a_granted_cancellation_is_the_end_whatever_waited(verdict: OrderStatus | None) -> None:
    progress = Progress(OrderStatus.RESERVED, Cancellation.ASKED, verdict)
    assert progress.answer(Cancellation.GRANTED)
    assert progress == Progress(OrderStatus.CANCELLED, Cancellation.GRANTED)


def test_a_refused_cancellation_lets_the_end_out_that_waited() -> None:
    progress = Progress(OrderStatus.PAID, Cancellation.ASKED, OrderStatus.SHIPPED)
    assert progress.answer(Cancellation.REFUSED)
    assert progress == Progress(OrderStatus.SHIPPED, Cancellation.REFUSED)


def test_a_refused_cancellation_without_an_end_leaves_the_order_as_it_is() -> None:
    progress = Progress(OrderStatus.PAID, Cancellation.ASKED)
    assert not progress.answer(Cancellation.REFUSED)
    assert progress.learn(OrderStatus.SHIPPED)
    assert progress == Progress(OrderStatus.SHIPPED, Cancellation.REFUSED)


def test_what_left_the_house_waits_before_any_other_verdict() -> None:
    for news in ([OrderStatus.SHIPPED, OrderStatus.EXPIRED], [OrderStatus.EXPIRED, OrderStatus.SHIPPED]):
        progress = Progress(OrderStatus.PAID, Cancellation.ASKED)
        assert [progress.learn(each) for each in news] == [False, False]
        assert progress.withheld is OrderStatus.SHIPPED


@pytest.mark.parametrize("first", [Cancellation.GRANTED, Cancellation.REFUSED])
@pytest.mark.parametrize("second", [Cancellation.GRANTED, Cancellation.REFUSED])
def test_the_first_answer_counts(first: Cancellation, second: Cancellation) -> None:
    progress = Progress(OrderStatus.PAID, Cancellation.ASKED)
    progress.answer(first)
    assert not progress.answer(second)
    assert progress.cancellation is first


steps = st.lists(st.sampled_from([*OrderStatus, "ask", Cancellation.GRANTED, Cancellation.REFUSED]), max_size=20)


@given(steps)
def test_whatever_happens_a_status_never_goes_back_and_an_order_ends_once(steps: list[OrderStatus | str]) -> None:
    progress, told, shown = Progress(OrderStatus.PLACED), [OrderStatus.PLACED], [Standing(OrderStatus.PLACED, None)]
    for step in steps:
        shown.append(Standing(progress.status, progress.cancellation))
        waits = progress.cancellation is Cancellation.ASKED
        if step == "ask":
            assert progress.ask() == (told[-1] not in ENDS)
        elif isinstance(step, Cancellation):
            told += [progress.status] if progress.answer(step) else []
        elif isinstance(step, OrderStatus) and progress.learn(step):
            told.append(progress.status)
            assert not (waits and told[-1] in ENDS)
    assert [RANKS[status] for status in told] == sorted({RANKS[status] for status in told})
    assert shown == sorted(shown, key=lambda standing: standing.rank)
    assert sum(status in ENDS for status in told) <= 1
    assert progress.status is told[-1]
