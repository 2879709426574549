"""Where a stack's state lies."""

import os
from pathlib import Path


def home_folder() -> Path:
    """Return the folder of the stack's state: WAYBILL_HOME, or `.waybill` in the current folder."""
    return Path(os.environ.get("WAYBILL_HOME") or ".waybill").expanduser().absolute()
