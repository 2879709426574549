"""What the stand-in decides about charges and refunds: the payment token's prefix alone says it."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256


class Answer(StrEnum):
    """How one request for a charge or a refund ends."""

    MOVED = "moved"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"  # nothing happened; try again under the same key
    SILENCE = "silence"  # the money moved, and nobody hears of it
    CONFLICT = "conflict"  # the key stands for something else


@dataclass(frozen=True, slots=True)
class Course:
    """How the attempts under one idempotency key go, counted from 1."""

    moves_on: int | None = 1  # the attempt that moves the money; None: none does
    answers_from: int = 1

    def answer(self, attempt: int, *, same_body: bool) -> Answer:
        """Say how this attempt ends."""
        if not same_body:
            return Answer.CONFLICT
        if self.moves_on is None:
            return Answer.DECLINED
        if attempt < self.moves_on:
            return Answer.UNAVAILABLE
        return Answer.MOVED if attempt >= self.answers_from else Answer.SILENCE


@dataclass(frozen=True, slots=True)
class Plan:
    """What a token makes of its charge, and of that charge's refund."""

    charge: Course = Course()
    refund: Course = Course()
    decline_reason: str = "declined"


SILENT_ONCE, THIRD_TIME_LUCKY, NEVER = Course(answers_from=2), Course(moves_on=3), Course(moves_on=None)

UNKNOWN_TOKEN = Plan(charge=NEVER, decline_reason="unknown token")
PLANS = {
    "tok_ok": Plan(),
    "tok_declined": Plan(charge=NEVER, decline_reason="declined by the issuer"),
    "tok_timeout_after_charge": Plan(charge=SILENT_ONCE),
    "tok_flaky": Plan(charge=THIRD_TIME_LUCKY),
    "tok_refund_timeout": Plan(refund=SILENT_ONCE),
    "tok_refund_flaky": Plan(refund=THIRD_TIME_LUCKY),
}


def plan_for(token: str) -> Plan:
    """Return the plan of the token's prefix; a token that nobody knows is declined."""
    return next((plan for prefix, plan in PLANS.items() if token.startswith(prefix)), UNKNOWN_TOKEN)


def body_digest(*fields: str | int) -> bytes:
    """Return what tells one request from another under the same key (the fields hold no control characters)."""
    return sha256("\n".join(map(str, fields)).encode()).digest()
