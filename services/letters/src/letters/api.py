"""Dead letters over HTTP, for operators: look, and send back."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

import structlog
from fastapi import APIRouter, Depends, Request

from chassis.problem_types import ASKING, POSTING, refusals
from chassis.problems import Problem
from chassis.tokens import OPS_WRITE, OperatorReads, OperatorWrites
from exactly_once import RejectRecord
from exactly_once.letters import Letter, LetterId, Letters
from letters.problem_types import OWN
from letters.schemas import (
    After,
    Group,
    Id,
    Kind,
    LetterAnswer,
    LetterDetails,
    LettersAnswer,
    Limit,
    RawRecord,
    RedriveAnswer,
    Topic,
)

router = APIRouter(prefix="/v1/dead-letters", tags=["operators"], responses=refusals(*ASKING))

log = structlog.get_logger(__name__)


async def _letters(request: Request) -> Letters:
    letters: Letters = request.app.state.letters
    return letters


TheLetters = Annotated[Letters, Depends(_letters)]


async def _found(letter_id: Id, letters: TheLetters) -> Letter:
    """Return a letter. Problem 404: there is none, or none any more."""
    letter = await letters.find(LetterId.parse(letter_id))
    if letter is None:
        raise Problem(HTTPStatus.NOT_FOUND, "dead-letter-not-found", f"there is no dead letter {letter_id}")
    return letter


Found = Annotated[Letter, Depends(_found)]


class Wanted:
    """Which letters are asked for."""

    def __init__(self, group: Group = None, topic: Topic = None, kind: Kind = None) -> None:
        self._group, self._topic, self._kind = group, topic, kind

    def __call__(self, letter: Letter) -> bool:
        """Tell whether a letter is."""
        return (
            self._group in {None, letter.id.group}
            and self._topic in {None, letter.topic}
            and self._kind in {None, letter.kind}
        )

    def asked(self) -> dict[str, object]:
        """Return the words of the request."""
        words = {"group": self._group, "topic": self._topic, "kind": self._kind}
        return {name: word for name, word in words.items() if word is not None}


@router.get("")
async def list_letters(
    _: OperatorReads,
    letters: TheLetters,
    wanted: Annotated[Wanted, Depends()],
    after: After = None,
    limit: Limit = 50,
) -> LettersAnswer:
    """Return dead letters. A page ends early where many were read that are not wanted: go on with `links.next`."""
    page = await letters.page(LetterId.parse(after) if after else None, limit, wanted)
    following = urlencode(wanted.asked() | {"after": page.following, "limit": limit})
    links = {"next": f"{router.prefix}?{following}"} if page.following else {}
    return LettersAnswer(letters=[LetterAnswer.of(each) for each in page.letters], links=links)


@router.get("/{letter_id}", responses=refusals("dead-letter-not-found", own=OWN))  # noqa: FAST003  # Found has it
async def read_letter(operator: OperatorReads, found: Found) -> LetterDetails:
    """Return a dead letter; with its record for who may redrive it."""
    record = RawRecord.of(found) if OPS_WRITE in operator.scopes else None
    return LetterDetails(**LetterAnswer.of(found).model_dump(), record=record)


@router.post(
    "/{letter_id}/redrive",  # noqa: FAST003  # likewise
    status_code=HTTPStatus.ACCEPTED,
    responses=refusals(*POSTING, "dead-letter-not-found", "not-redrivable", own=OWN),
)
async def redrive_letter(operator: OperatorWrites, found: Found, letters: TheLetters) -> RedriveAnswer:
    """Send a dead letter's record to where it came from, once its cause is mended. To do so twice does no harm."""
    try:
        offset = await letters.redrive(found)
    except RejectRecord as error:
        raise Problem(HTTPStatus.CONFLICT, "not-redrivable", str(error)) from error
    log.info("letter.redriven", letter=str(found.id), event_id=found.event_id, by=operator.subject)
    return RedriveAnswer(
        id=str(found.id), topic=found.topic, partition=found.partition, offset=offset, event_id=found.event_id
    )
