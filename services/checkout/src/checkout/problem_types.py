"""The types of problems that only checkout answers with; docs/problems.md says what to do about them."""

from http import HTTPStatus

OWN = {
    "idempotency-key-missing": HTTPStatus.BAD_REQUEST,
    "idempotency-key-reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "mixed-currencies": HTTPStatus.UNPROCESSABLE_ENTITY,
    "order-ended": HTTPStatus.CONFLICT,
    "order-not-found": HTTPStatus.NOT_FOUND,
    "total-too-large": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown-sku": HTTPStatus.UNPROCESSABLE_ENTITY,
}
