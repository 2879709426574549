"""Compares docs/openapi with what the services say of themselves, so that a change of an interface is seen as one.

    python infra/checks/openapi.py [--write]

Exits 1 and names the services whose file differs; --write brings the files up to date.
"""

import difflib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

SERVICES = ("checkout", "inventory", "letters", "payment_gateway")
FOLDER = Path(__file__).parents[2] / "docs" / "openapi"
SOMEWHERE = {
    "WAYBILL_HTTP_PORT": "1",
    "WAYBILL_POSTGRES_HOST": "nowhere",
    "WAYBILL_POSTGRES_PORT": "1",
    "WAYBILL_POSTGRES_DATABASE": "none",
    "WAYBILL_POSTGRES_USER": "nobody",
    "WAYBILL_POSTGRES_PASSWORD_FILE": os.devnull,
}


def described(service: str) -> str:
    """Return a service's description; nothing is started, and nothing connected to."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as keys:
        keys.write('{"nobody": "a key"}')
        keys.flush()
        os.environ.update(SOMEWHERE, WAYBILL_SERVICE=service, WAYBILL_GATEWAY_KEYS_FILE=keys.name)
        app = importlib.import_module(f"{service}.main").app
    return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(words: list[str]) -> int:
    """Return the exit code."""
    changed = 0
    for service in SERVICES:
        path, now = FOLDER / f"{service}.json", described(service)
        if "--write" in words:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(now)
        elif (kept := path.read_text() if path.exists() else "") != now:
            changed += 1
            lines = difflib.unified_diff(kept.splitlines(), now.splitlines(), str(path), service, lineterm="", n=2)
            print("\n".join(list(lines)[:60]))
    if changed:
        print("the HTTP interface has changed: see whether its users can bear it, then `make openapi`")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
