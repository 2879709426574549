"""Asks the letters' service as an operator, and the databases what became of each letter."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Literal

import requests

from contracts import SERVICES
from waybill.audit.databases import snapshot
from waybill.errors import UsageError
from waybill.stack import Stack
from waybill.token.signing import Signer

ANSWER_S = 20.0
PAGE = 200

State = Literal["open", "answered", "superseded", "forgotten"]


class Office:
    """The letters' service of a stack. UsageError: it does not run, or can't do it now."""

    def __init__(self, stack: Stack) -> None:
        if not stack.services.get("letters"):
            raise UsageError("this stack runs no letters' service: start it without --no-services")
        self._url = stack.services["letters"][0]
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {Signer(stack).operator()}"

    def letters(self, **asked: str) -> Iterator[dict[str, Any]]:
        """Yield the letters of a group, a topic, a kind, or all of them."""
        words: dict[str, Any] = {name: word for name, word in asked.items() if word} | {"limit": PAGE}
        page = self._answer("GET", "/v1/dead-letters", words)
        while True:
            yield from page["letters"]
            if "next" not in page["links"]:
                return
            page = self._answer("GET", page["links"]["next"])

    def letter(self, letter_id: str) -> dict[str, Any]:
        """Return a letter with its record. UsageError: there is none."""
        return self._answer("GET", f"/v1/dead-letters/{letter_id}")

    def redrive(self, letter_id: str) -> str | None:
        """Send a letter back; return why that can't be done, None where it was. UsageError: there is none."""
        path = f"/v1/dead-letters/{letter_id}/redrive"
        answer = self._ask("POST", path)
        if answer.status_code == HTTPStatus.CONFLICT:
            return str(answer.json()["detail"])
        self._read(answer)
        return None

    def _answer(self, method: str, path: str, words: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._read(self._ask(method, path, words))

    def _ask(self, method: str, path: str, words: dict[str, Any] | None = None) -> requests.Response:
        try:
            return self._session.request(method, self._url + path, params=words, timeout=ANSWER_S)
        except requests.RequestException as error:
            raise UsageError(f"the letters' service at {self._url} does not answer: {type(error).__name__}") from error

    def _read(self, answer: requests.Response) -> dict[str, Any]:
        if not answer.ok:
            raise UsageError(answer.json()["detail"])
        found: dict[str, Any] = answer.json()
        return found


_CLAIMS = 'SELECT event_id, attempt, rejected FROM claims WHERE "group" = $1 AND event_id = ANY($2::text[])'


async def states(stack: Stack, letters: Iterable[dict[str, Any]]) -> dict[str, State]:
    """Return what became of each letter, by its id, as the groups' claims tell. UsageError: they can't be read."""
    letters = list(letters)
    found: dict[str, State] = {}
    for group in SERVICES:
        ours = [letter for letter in letters if letter["group"] == group]
        if not ours:
            continue
        async with snapshot(stack, group) as connection:
            rows = await connection.fetch(_CLAIMS, group, [letter["event_id"] for letter in ours])
        claims = {row["event_id"]: (row["attempt"], row["rejected"]) for row in rows}
        found |= {letter["id"]: _state(letter["attempt"], claims.get(letter["event_id"])) for letter in ours}
    return found


def _state(attempt: int, claim: tuple[int, bool] | None) -> State:
    """Tell a letter that waits for somebody from one whose record was taken, or ended as a later letter."""
    if claim is None:
        return "forgotten"
    last, rejected = claim
    if not rejected:
        return "answered"
    return "open" if last == attempt else "superseded"
