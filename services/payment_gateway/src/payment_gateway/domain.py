"""What the stand-in decides about a charge: the payment token's prefix alone says it."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256


class Answer(StrEnum):
    """How one request for a charge ends."""

    CAPTURED = "captured"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"  # nothing happened; try again under the same key
    SILENCE = "silence"  # the money moved, and nobody hears of it
    CONFLICT = "conflict"  # the key stands for another charge


@dataclass(frozen=True, slots=True)
class Plan:
    """What a token makes of the attempts under one idempotency key, counted from 1."""

    captures_on: int | None
    answers_from: int = 1
    decline_reason: str | None = None

    def answer(self, attempt: int, *, same_body: bool) -> Answer:
        """Say how this attempt ends."""
        if not same_body:
            return Answer.CONFLICT
        if self.captures_on is None:
            return Answer.DECLINED
        if attempt < self.captures_on:
            return Answer.UNAVAILABLE
        return Answer.CAPTURED if attempt >= self.answers_from else Answer.SILENCE


UNKNOWN_TOKEN = Plan(captures_on=None, decline_reason="unknown token")
PLANS = {
    "tok_ok": Plan(captures_on=1),
    "tok_declined": Plan(captures_on=None, decline_reason="declined by the issuer"),
    "tok_timeout_after_charge": Plan(captures_on=1, answers_from=2),
    "tok_flaky": Plan(captures_on=3),
}


def plan_for(token: str) -> Plan:
    """Return the plan of the token's prefix; a token that nobody knows is declined."""
    return next((plan for prefix, plan in PLANS.items() if token.startswith(prefix)), UNKNOWN_TOKEN)


def body_digest(*fields: str | int) -> bytes:
    """Return what tells one charge from another under the same key (the fields hold no control characters)."""
    return sha256("\n".join(map(str, fields)).encode()).digest()
