"""Asks whether any pinned dependency has a known vulnerability: pip-audit, at PyPI's own service or at an OSV address.

    python infra/checks/vulnerabilities.py [--osv-url URL] [LOCK ...]

Exits 1 and names what is vulnerable. Where no service answers it says so and exits 0: a check that needs the network
must not stop who has none. Whether a service answers is seen by a pin that every one of them knows to be vulnerable.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-bootstrap.lock"]
PIN = re.compile(r"^([a-zA-Z0-9._-]+==[^ ;\\]+)", re.MULTILINE)
CANARY = "jinja2==2.10.1"
AT_ONCE = 4
TIMEOUT_S = 5
EXCUSED: dict[str, str] = {}  # the id of a vulnerability: why it does not reach us


class Answer(NamedTuple):
    """What is vulnerable, in sentences; and what could not be asked about: pins, and why."""

    vulnerable: list[str]
    unasked: list[str]
    why: str


def ask(pins: Sequence[str], service: Sequence[str]) -> Answer:
    """Ask about some pins, one request each."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        asked = [sys.executable, "-m", "pip_audit", "-r", file.name, "--no-deps", "--disable-pip", "-f", "json"]
        how = ["--progress-spinner", "off", "--timeout", str(TIMEOUT_S), "--desc", "off"]
        ended = subprocess.run([*asked, *how, *service], capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    if not ended.stdout.strip():
        said = (ended.stderr.strip().splitlines() or ["no answer"])[-1]
        return Answer([], list(pins), said.rpartition("Caused by ")[2][:200])
    told = json.loads(ended.stdout)["dependencies"]
    skipped = {f"{each['name']}": each["skip_reason"] for each in told if "skip_reason" in each}
    return Answer(
        [
            f"{each['name']}=={each['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none'}"
            for each in told
            for found in each.get("vulns", ())
            if not EXCUSED.keys() & {found["id"], *found["aliases"]}
        ],
        list(skipped),
        next(iter(skipped.values()), ""),
    )


def main(words: Sequence[str]) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--osv-url")
    parser.add_argument("locks", nargs="*", type=Path, default=LOCKS)
    given = parser.parse_args(words)
    service = ["-s", "osv", "--osv-url", given.osv_url] if given.osv_url else ["-s", "pypi"]
    pins = sorted({pin for lock in given.locks for pin in PIN.findall(lock.read_text())})
    canary = ask([CANARY], service)
    if not canary.vulnerable:
        why = canary.why or f"it does not know {CANARY}"
        print(f"vulnerabilities: no service answers, {len(pins)} pins were not asked about ({why})")
        return 0
    parts = [part for each in range(AT_ONCE) if (part := pins[each::AT_ONCE])]
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda part: ask(part, service), parts))
    vulnerable = sorted(sentence for answer in answers for sentence in answer.vulnerable)
    unasked = sorted(pin for answer in answers for pin in answer.unasked)
    if unasked:
        print(
            f"vulnerabilities: not asked about {', '.join(unasked)} ({next(each.why for each in answers if each.why)})"
        )
    print(
        "\n".join(
            [*vulnerable, f"vulnerabilities: {len(pins) - len(unasked)} pins asked about, {len(vulnerable)} known"]
        )
    )
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
