"""The command line imports what it runs, and says of each command what its docstring says."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from waybill.cli import COMMANDS

HEAVY = ("confluent_kafka", "aiohttp", "sqlalchemy", "asyncpg", "exactly_once", "contracts", "kafka", "cryptography")
PROBE = """
import sys
from waybill.cli import main
sys.argv = ["waybill", *{words}]
try:
    main()
except SystemExit:
    pass
print([each for each in {heavy} if each in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--help"], ["status"], ["down"], ["stop", "--help"], ["logs", "kafka-1"]])
def test_a_command_that_only_looks_imports_no_client(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROBE.format(words=words, heavy=HEAVY)]
    done = subprocess.run(
        command, env={"WAYBILL_HOME": str(tmp_path / "home")}, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_the_command_itself_says(name: str) -> None:
    said = " ".join((getattr(import_module(COMMANDS[name].module), name).__doc__ or "").split())
    assert said.startswith(COMMANDS[name].sentence)
