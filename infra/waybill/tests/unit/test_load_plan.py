"""When the orders of a load are due, and which of them are measured."""

import itertools

import pytest

from waybill.load.plan import Plan


def dues(plan: Plan) -> list[float]:
    return [plan.due_s(number) for number in range(plan.orders)]


def test_a_steady_load_comes_at_equal_distances_from_the_first_moment_on() -> None:
    assert dues(Plan(rate=4, ramp_s=0, warm_up_s=0.5, duration_s=1)) == [0, 0.25, 0.5, 0.75, 1, 1.25]


def test_a_ramp_rises_evenly_to_the_rate_and_goes_over_into_it_without_a_jump() -> None:
    plan = Plan(rate=100, ramp_s=10, warm_up_s=0, duration_s=1)
    arrivals = dues(plan)
    by_second = [sum(second <= due < second + 1 for due in arrivals) for second in range(11)]
    assert by_second == pytest.approx([5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 100], abs=1)
    distances = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(distances))
    assert distances[-1] == pytest.approx(1 / 100)


@pytest.mark.parametrize("plan", [Plan(50, 0, 0, 3), Plan(50, 4, 0, 3), Plan(50, 0, 2, 3), Plan(50, 4, 2, 3)])
def test_what_is_measured_is_the_rate_for_the_duration_whatever_comes_before(plan: Plan) -> None:
    measured = dues(plan)[plan.unmeasured :]
    assert len(measured) == 150
    assert measured[0] == pytest.approx(plan.measured_from_s)
    assert measured[-1] == pytest.approx(plan.measured_from_s + 3 - 1 / 50)
