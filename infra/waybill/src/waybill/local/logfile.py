"""Log files of bounded size: what grows too large is set aside once, and the older half is dropped."""

import os
import shutil
from pathlib import Path
from typing import IO

LARGEST = 10 * 1024 * 1024
OWNER_ONLY = 0o600


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
