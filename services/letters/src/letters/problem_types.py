"""The types of problems that only the letters' service answers with; docs/problems.md says what to do about them."""

from http import HTTPStatus

OWN = {
    "dead-letter-not-found": HTTPStatus.NOT_FOUND,
    "not-redrivable": HTTPStatus.CONFLICT,
}
