import pytest

from payment_gateway.domain import Answer, Course, body_digest, plan_for

MOVED, DECLINED, SILENCE, UNAVAILABLE = Answer.MOVED, Answer.DECLINED, Answer.SILENCE, Answer.UNAVAILABLE


def attempts(course: Course) -> list[Answer]:
    return [course.answer(attempt, same_body=True) for attempt in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("token", "charge", "refund"),
    [
        ("tok_ok", [MOVED] * 4, [MOVED] * 4),
        ("tok_ok_of_anna", [MOVED] * 4, [MOVED] * 4),
        ("tok_declined", [DECLINED] * 4, [MOVED] * 4),
        ("nonsense", [DECLINED] * 4, [MOVED] * 4),
        ("tok_timeout_after_charge", [SILENCE, MOVED, MOVED, MOVED], [MOVED] * 4),
        ("tok_flaky", [UNAVAILABLE, UNAVAILABLE, MOVED, MOVED], [MOVED] * 4),
        ("tok_refund_timeout", [MOVED] * 4, [SILENCE, MOVED, MOVED, MOVED]),
        ("tok_refund_flaky", [MOVED] * 4, [UNAVAILABLE, UNAVAILABLE, MOVED, MOVED]),
    ],
)
def test_the_token_says_how_each_attempt_ends(token: str, charge: list[Answer], refund: list[Answer]) -> None:
    plan = plan_for(token)
    assert (attempts(plan.charge), attempts(plan.refund)) == (charge, refund)


@pytest.mark.parametrize("token", ["tok_ok", "tok_declined", "tok_flaky"])
def test_another_request_under_the_same_key_is_a_conflict_whatever_the_token(token: str) -> None:
    assert plan_for(token).charge.answer(1, same_body=False) is Answer.CONFLICT


def test_an_unknown_token_and_a_refused_one_are_declined_for_different_reasons() -> None:
    assert plan_for("nonsense").decline_reason == "unknown token"
    assert plan_for("tok_declined").decline_reason == "declined by the issuer"


def test_the_digest_tells_requests_apart() -> None:
    assert body_digest(1, "EUR") == body_digest("1", "EUR")
    assert body_digest(1, "EUR") != body_digest(1, "USD")
