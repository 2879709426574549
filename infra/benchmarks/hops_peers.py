"""Gets what the peers run on: a virtual environment from a lock with hashes, or jars and the system's Java compiler."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from waybill.errors import UsageError
from waybill.local import artifacts
from waybill.local.layout import cache_folder

PEERS = Path(__file__).parent / "peers"
STACK_PARTS = ("kafka",)  # of whose jars Kafka Streams needs the client, and Avro the JSON parser
HEAP = "-Xmx256m"


class Absent(Exception):
    """A peer can't take part on this machine; says why."""


def python_program(name: str) -> list[str]:
    """Return what runs a peer written in Python, in the environment that its lock says. Absent: it has none."""
    lock = PEERS / f"{name}.lock"
    place = cache_folder() / "peers" / f"{name}-{_digest(lock)}"
    python = place / "bin" / "python"
    if not (place / ".ready").exists():
        venv.create(place, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        done = subprocess.run([*pip, "-r", str(lock)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Absent(f"its environment can't be made: {done.stderr.strip().splitlines()[-1]}")
        (place / ".ready").touch()
    return [str(python), str(PEERS / f"{name}.py")]


def java_program() -> list[str]:
    """Return what runs the topology of Kafka Streams. Absent: this machine has no JDK, or the jars can't be had."""
    javac = shutil.which("javac")
    if javac is None:
        raise Absent("there is no javac on this machine")
    source = PEERS / "Hop.java"
    try:
        own = artifacts.fetch(cache_folder(), PEERS / "streams.lock", say=lambda _: None)["streams"]
        stack = artifacts.fetch(cache_folder())
    except UsageError as error:
        raise Absent(str(error)) from error
    jars = os.pathsep.join(map(str, [*own, *(jar for part in STACK_PARTS for jar in stack[part])]))
    classes = cache_folder() / "peers" / f"streams-{_digest(source)}"
    done = subprocess.run(
        [javac, "-d", str(classes), "-cp", jars, str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Absent(f"its topology can't be compiled: {done.stderr.strip()}")
    java = str(Path(javac).with_name("java"))
    return [sys.executable, str(PEERS / "streams.py"), java, HEAP, "-cp", f"{classes}{os.pathsep}{jars}", "Hop"]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
