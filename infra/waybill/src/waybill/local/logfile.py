"""Log files of bounded size: what grows too large is set aside once, and the older half is dropped."""

import datetime as dt
import json
import os
import shutil
from pathlib import Path
from typing import IO

from waybill.output import tell_once

LARGEST = 10 * 1024 * 1024
OWNER_ONLY = 0o600
LAST_BYTES = 64 << 10  # of a log, among which its writer's last words are


def open_to_append(log: Path) -> IO[bytes]:
    """Open a log that only its owner reads; each write goes to its end, wherever `bound` has moved that to."""
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY), "ab")


def bound(log: Path, largest: int = LARGEST) -> bool:
    """Set a log's end aside in NAME.log.1 once it is too large, and empty it. Tells whether it was.

    Its writer keeps its file open and goes on at the new end. What it writes between copy and cut is lost: the price
    of a process that never waits for whoever reads its log.
    """
    try:
        if log.stat().st_size <= largest:
            return False
    except FileNotFoundError:
        return False
    aside = log.with_suffix(".log.1")
    aside.unlink(missing_ok=True)
    with log.open("rb") as grown, open_to_append(aside) as kept:
        grown.seek(-largest, os.SEEK_END)
        shutil.copyfileobj(grown, kept)
    os.truncate(log, 0)
    return True


def bound_if_possible(log: Path) -> None:
    """Do as `bound` does, but where that fails (a full disk) say so and go on: a program's keeper has more to do."""
    try:
        bound(log)
    except OSError as error:
        tell_once(f"{log} can't be bounded: {error.strerror}")


def last_words(log: Path, since: float) -> str | None:
    """Return the reason that our own programs give before they end, if that was after `since` (a Unix time).

    None too if the log can't be read: somebody may have deleted it meanwhile.
    """
    try:
        end = _end_of(log)
    except OSError:
        return None
    for line in reversed(end.splitlines()):
        try:
            said = json.loads(line)
            if said["level"] == "error" and dt.datetime.fromisoformat(said["timestamp"]).timestamp() >= since:
                return str(said["why"])
        except (ValueError, LookupError, TypeError):  # no line of JSON, or one that gives no reason
            continue
    return None


def _end_of(log: Path) -> str:
    with log.open("rb") as written:
        written.seek(max(0, log.stat().st_size - LAST_BYTES))
        return written.read().decode(errors="replace")
