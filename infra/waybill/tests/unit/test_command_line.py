"""The command line imports what it runs, and says of each command what its docstring says."""

import signal
import subprocess
import sys
import time
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

ENDLESS = """
import asyncio, signal, time
from waybill import cli, output
from waybill.operate import status

def sleeping():
    try:
        output.progress("begun")
        time.sleep(60)
    finally:
        output.progress("unwound")

async def wait():
    try:
        output.progress("begun")
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.2)
        output.progress("unwound")

def waiting():
    asyncio.run(wait())

signal.signal(signal.SIGINT, signal.{interrupt})
status.status = {command}
cli.sys.argv = ["waybill", "status"]
cli.main()
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


@pytest.mark.parametrize("command", ["sleeping", "waiting"])
@pytest.mark.parametrize("interrupt", ["default_int_handler", "SIG_IGN"])  # a shell's background jobs ignore SIGINT
def test_sigterm_unwinds_a_command_once_and_it_ends_with_143(command: str, interrupt: str, tmp_path: Path) -> None:
    program = [sys.executable, "-c", ENDLESS.format(command=command, interrupt=interrupt)]
    with subprocess.Popen(program, env={"WAYBILL_HOME": str(tmp_path)}, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "begun\n"
        running.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        running.send_signal(signal.SIGTERM)  # `timeout` tells a command, and then its group
        _, said = running.communicate(timeout=10)
    assert (running.returncode, said) == (143, "unwound\n")
