"""The types of problems that the gateway answers with, of its own; docs/problems.md says what to do about them."""

from http import HTTPStatus

OWN = {
    "declined": HTTPStatus.PAYMENT_REQUIRED,
    "idempotency-key-missing": HTTPStatus.BAD_REQUEST,
    "idempotency-key-reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "no-answer": HTTPStatus.GATEWAY_TIMEOUT,
    "no-such-charge": HTTPStatus.NOT_FOUND,
    "not-the-charge": HTTPStatus.UNPROCESSABLE_ENTITY,
}
