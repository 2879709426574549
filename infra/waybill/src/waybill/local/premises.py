"""Sees that a stack can live where it is asked to, before anything is made; then makes its folders."""

import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from waybill import secrets
from waybill.errors import UsageError
from waybill.local import state
from waybill.local.layout import OPTIONS_FILE, Options

ROOM_NEEDED = 2 * 1024**3
FORMAT_FILE, FORMAT = "format", "1"


def check(options: Options, room_needed: int = ROOM_NEEDED) -> None:
    """Look, and make nothing. UsageError: no place for this stack, no room, or another stack's home."""
    for folder in (options.home, options.cache):
        place = _existing(folder)
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise UsageError(f"{folder} can't be written: {place} is no folder, or not yours to write")
        if (free := shutil.disk_usage(place).free) < room_needed:
            raise UsageError(f"{folder} has {free >> 20} MiB of room, a stack needs {room_needed >> 20}")
    _check_format(options.home)
    before = _options_before(options.home)
    if before is not None and before.brokers != options.brokers and (options.home / "kafka").exists():
        raise UsageError(
            f"the stack in {options.home} has {before.brokers} broker(s), not {options.brokers}: "
            f"say `--brokers {before.brokers}`, or choose another WAYBILL_HOME"
        )


def prepare(options: Options) -> None:
    """Make the folders, and write what the supervisor reads. UsageError: they can't be written after all."""
    home = options.home
    try:
        for folder in (home, home / "logs", options.cache):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        secrets.write(home / FORMAT_FILE, FORMAT)
        secrets.write(home / OPTIONS_FILE, options.model_dump_json(indent=1))
        (home / state.STATE_FILE).unlink(missing_ok=True)
        shutil.rmtree(home / state.STOPPED_FOLDER, ignore_errors=True)
        (home / state.STOPPED_FOLDER).mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"{error.filename or home} can't be written: {error.strerror}") from error


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _check_format(home: Path) -> None:
    file = home / FORMAT_FILE
    found = file.read_text().strip() if file.exists() else FORMAT
    if found != FORMAT:
        raise UsageError(
            f"{home} belongs to another version of Waybill (format {found}, this one writes {FORMAT}): "
            "use that version, or choose another WAYBILL_HOME"
        )


def _options_before(home: Path) -> Options | None:
    try:
        return Options.model_validate_json((home / OPTIONS_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{home / OPTIONS_FILE} can't be read: choose another WAYBILL_HOME ({type(error).__name__})"
        ) from error
