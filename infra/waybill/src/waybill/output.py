"""What commands print: progress for people on standard error, the answer on standard output."""

import contextlib
import functools
import json
import sys
from collections.abc import Callable
from typing import Any


def progress(sentence: str) -> None:
    """Tell what goes on."""
    print(sentence, file=sys.stderr, flush=True)


def tell_once(sentence: str) -> None:
    """Tell of a mishap that comes again and again: once, and later where even that can't be written now."""
    with contextlib.suppress(OSError):
        _told(sentence)


@functools.cache
def _told(sentence: str) -> None:
    progress(sentence)


def emit(data: dict[str, Any], render: Callable[[], None], *, as_json: bool) -> None:
    """Print one JSON object, or what `render` prints for people."""
    if as_json:
        print(json.dumps(data, default=str))
    else:
        render()
