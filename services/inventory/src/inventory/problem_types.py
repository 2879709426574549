"""The types of problems that only inventory answers with; docs/problems.md says what to do about them."""

from http import HTTPStatus

OWN = {"unknown-sku": HTTPStatus.UNPROCESSABLE_ENTITY}
