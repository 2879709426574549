"""What README.md tells people to type works as it stands there, and what it shows is what they see."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from waybill.cli import COMMANDS
from waybill.driver import Waybill
from waybill.local.layout import DEFAULT_BASE_PORT

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHOWN = ("ok  ", "?  ")  # how the lines of an audit begin
ELSEWHERE = {  # a command that this stack can't run on itself: where it runs
    "make demo": ("e2e_tests/test_journeys.py", "test_the_demo_starts_everything_and_ends_with_a_clean_audit"),
    "make down": ("e2e_tests/test_journeys.py", "test_down_leaves_no_process_behind"),
    "make compose-up": ("e2e_tests/test_compose.py", "test_a_broker_and_a_service_die_in_the_middle_of_the_demo"),
    ".venv/bin/waybill demo --stack compose": ("e2e_tests/test_compose.py", 'waybill.start("demo", "--json"'),
    "make compose-down": ("e2e_tests/test_compose.py", "test_what_is_in_the_way_is_said_before_anything_starts"),
    "make check": (".ci/run", "make check"),
    "make test": (".ci/run", "make test"),
    "make test-containers": (".ci/run", "make test-containers"),
}
TARGETS = {
    "demo": "waybill demo",
    "down": "waybill down",
    "compose-up": "waybill up --stack compose",
    "compose-down": "waybill down --stack compose",
}
BASH = "/bin/bash"
STEP_DEADLINE_S = 240


def scripts() -> list[str]:
    """The blocks that a person types."""
    return [text for kind, text in BLOCKS if kind == "" and not text.startswith(SHOWN)]


def commands(script: str) -> list[str]:
    """The commands of a block: what a backslash continues is one."""
    return script.replace("\\\n", " ").strip().splitlines()


def here() -> list[str]:
    return [script for script in scripts() if not set(commands(script)) & ELSEWHERE.keys()]


def run(waybill: Waybill, script: str) -> str:
    """Run a block in one shell, on the ports and with the command of the test's own stack."""
    text = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{_moved(waybill, found[1])}", script)
    text = text.replace(".venv/bin/waybill", str(Path(sys.executable).with_name("waybill")))
    done = subprocess.run(
        [BASH, "-euo", "pipefail", "-c", text],
        env=waybill.environment, capture_output=True, text=True, timeout=STEP_DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _moved(waybill: Waybill, port: str) -> int:
    return int(port) - DEFAULT_BASE_PORT + waybill.base_port


def test_every_command_runs_here_or_where_it_is_said_to_run() -> None:
    typed = {command for script in scripts() for command in commands(script)}
    assert typed >= ELSEWHERE.keys(), "README does not mention what is covered elsewhere: take it out of the list"
    for file, name in ELSEWHERE.values():
        assert name in (ROOT / file).read_text()
    for script in scripts():
        covered = set(commands(script)) & ELSEWHERE.keys()
        assert covered in (set(), set(commands(script))), f"a block runs here or elsewhere, not half: {script}"


@pytest.mark.parametrize(("target", "recipe"), TARGETS.items())
def test_a_target_is_the_command_that_its_test_runs(target: str, recipe: str) -> None:
    assert re.search(rf"^{target}:.*\n\t\$\(BIN\)/{recipe}$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_stack_does_what_is_typed_and_the_audit_says_what_is_shown(running: Waybill) -> None:
    (script,) = [each for each in scripts() if "waybill audit" in each]
    said = run(running, script)
    (shown,) = [text for kind, text in BLOCKS if kind == "" and text.startswith(SHOWN)]
    seen = {_without_counts(line) for line in said.splitlines()}
    assert [line for line in shown.splitlines() if _without_counts(line) not in seen] == []
    assert "kafka-2 is stopped" in said
    assert "kafka-2 is healthy" in said


def _without_counts(line: str) -> str:
    return re.sub(r" \([^()]*\)$", "", line)


def test_an_order_placed_as_described_is_accepted_and_sent_again_is_the_same(running: Waybill) -> None:
    (script,) = [each for each in scripts() if "curl" in each]
    first, second = (re.findall(r'"order_id": ?"([0-9a-f-]{36})"', run(running, script)) for _ in range(2))
    assert len(first) == 1
    assert first == second


def test_no_block_is_left_out() -> None:
    assert len(here()) == 2, "a new block needs a test of its own here"


def test_the_table_of_commands_is_the_command_line() -> None:
    rows = [
        re.split(r"(?<!\\)\|", line)[1]
        for line in README.splitlines()
        if line.startswith("| `") and "WAYBILL" not in line
    ]
    named = {words.split()[0] for row in rows for words in re.findall(r"`([^`…]+)`", row)}
    assert named == COMMANDS.keys()


def test_the_ports_are_those_that_are_listed(running: Waybill) -> None:
    listed = {name: int(offset) for name, offset in re.findall(r"(\w+)\s\+(\d+)", README.replace(" to +", " ... "))}
    ports = {each["name"]: each["port"] - running.base_port for each in running("status", "--json").data["processes"]}
    names = {"Kafka": "kafka-1", "PostgreSQL": "postgres", "registry": "registry", "gateway": "gateway"}
    for name, offset in listed.items():
        assert ports[names.get(name, f"{name}-1")] == offset
