"""Every failure the library knows, each named after its recovery.

    Retryable        roll back, back off, the same records again
    RejectRecord     this record alone becomes a dead letter
    Fenced           drop what is in memory and recover
      FencedByGroup  drop what is in memory and wait for the next assignment
    PublishFailed    Kafka's transaction has an unknown end: recover
    Halted           a person must look: stop, not ready, and say what to do
      NotPermitted   whom this process is told to be may not do its work: it ends

Anything else that a handler raises is a bug: three isolated attempts, then a dead letter of class `bug`. Without a
database there is one attempt, and what was not published is decided anew.
"""

from pydantic import ValidationError

LONGEST_LINE = 500


class ExactlyOnceError(Exception):
    """The root of the tree above."""


class Retryable(ExactlyOnceError):
    """The same records may succeed later."""


class RejectRecord(ExactlyOnceError):
    """This record will never succeed: it becomes a dead letter, its neighbours go on."""


class Fenced(ExactlyOnceError):
    """Another process owns the partition's position in PostgreSQL, or did for a moment."""


class FencedByGroup(Fenced):
    """The group has moved on without this member (KIP-447): nothing to do until it assigns again."""


class PublishFailed(ExactlyOnceError):
    """A Kafka transaction did not end in an answered commit; its outputs are stored and will be published."""


class Halted(ExactlyOnceError):
    """Going on could lose or double something: the loop stays down until a person has looked."""


class TooManyDeadLetters(Halted):
    """So much is rejected that the fault is more likely here than in the records."""


class NotPermitted(Halted):
    """The user that this process is told to be may not do what its work needs: nothing of it is begun."""


def one_line(error: BaseException) -> str:
    """Return what an error says, in a line of at most LONGEST_LINE characters.

    Never the input that a validation refused, and nothing behind the first line: in PostgreSQL's errors those are rows
    and parameters. Either may be secret, and errors go into logs and letters.
    """
    if isinstance(error, ValidationError):
        told = error.errors(include_input=False, include_context=False)
        places = ((".".join(map(str, each["loc"])), each["msg"]) for each in told)
        return "; ".join(": ".join(filter(None, each)) for each in places)[:LONGEST_LINE]
    first, *_ = str(error).strip().splitlines() or ["no answer"]
    return first[:LONGEST_LINE]


def sentence_of(error: BaseException) -> str:
    """Return an error's type, and what it says as `one_line` does."""
    cause: BaseException = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {one_line(cause)}"
