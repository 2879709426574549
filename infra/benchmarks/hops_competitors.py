"""Who takes part: how each competitor is started, or why it can't be."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from hops_cluster import PARTITIONS, Cluster
from hops_peers import PEERS, Absent, java_program, python_program
from hops_records import EVENTS, ParcelWeighed, PostagePriced
from sqlalchemy import URL

from exactly_once.loop import MOST_RECORDS, MOST_STATELESS

HERE = Path(__file__).parent
STOP_S = 10.0
COMMIT_S = 0.1


@dataclass(frozen=True)
class Competitor:
    """A name for the tables, and what makes the command that hops as a lane's file says. `command` may raise Absent.

    How many partitions its topics have; of the library alone, how many records a transaction holds at most, and whether
    it keeps anything in PostgreSQL.
    """

    name: str
    command: Callable[[], list[str]]
    keeps_state: bool = False
    partitions: int = PARTITIONS
    most_records: int = MOST_RECORDS
    keeps_claims: bool = True

    @property
    def lane(self) -> str:
        """The name of its topics, its group and its database."""
        name = f"{self.name} with state" if self.keeps_state else self.name
        return "".join(letter if letter.isalnum() else "_" for letter in name.lower())


class Running(NamedTuple):
    """A competitor's process, and the file in which it tells its troubles."""

    process: psutil.Process
    log: Path

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE


def ours(name: str) -> Callable[[], list[str]]:
    """Return what runs a program of this folder in the project's own environment."""
    return lambda: [sys.executable, str(PEERS / f"{name}.py")]


def flechtwerk() -> list[str]:
    """Say why Flechtwerk can't carry these records on this cluster."""
    raise Absent(
        "0.17 wants Python 3.12, knows no SASL, carries JSON and no headers: not these records, on this cluster"
    )


HAND = Competitor("by hand", ours("by_hand"))
LIBRARY = Competitor("library", ours("library"))
COMPETITORS = [
    HAND,
    Competitor("by hand, with events", ours("by_hand_events")),
    LIBRARY,
    Competitor("library, stateless", ours("library"), most_records=MOST_STATELESS, keeps_claims=False),
    Competitor("Kafka Streams", java_program),
    Competitor("Quix Streams", lambda: python_program("quix")),
    Competitor("FastStream, at least once", lambda: python_program("fast_stream")),
    Competitor("Flechtwerk", flechtwerk),
]
WITH_STATE = [
    Competitor("library", ours("library"), keeps_state=True),
    Competitor("inbox, no Kafka transactions", ours("inbox"), keeps_state=True),
]


def lane(competitor: Competitor, cluster: Cluster, database: URL) -> dict[str, Any]:
    """Return what a competitor is told: `peers/lane.py` says what each word means."""
    stack, name = cluster.stack, competitor.lane
    return {
        "name": competitor.name,
        "bootstrap": stack.kafka_bootstrap,
        "user": stack.names.user("operator"),
        "password_file": str(stack.kafka_credential("operator")),
        "ca_file": str(stack.kafka_ca),
        "input": f"{name}.{ParcelWeighed.topic}",
        "output": f"{name}.{PostagePriced.topic}",
        "group": f"{name}.hop",
        "commit_s": COMMIT_S,
        "keeps_state": competitor.keeps_state,
        "most_records": competitor.most_records,
        "postgres": database.render_as_string(hide_password=False) if competitor.keeps_claims else "",
        "input_schema": ParcelWeighed.avro_schema(),
        "output_schema": PostagePriced.avro_schema(),
        "output_schema_id": next(number for number, event in EVENTS.items() if event is PostagePriced),
    }


@contextmanager
def running(command: list[str], told: dict[str, Any], folder: Path) -> Iterator[Running]:
    """Run a competitor for the length of the block."""
    file, log = folder / "lane.json", folder / "log"
    file.touch(0o600)
    file.write_text(json.dumps(told))
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{PEERS}"}
    with log.open("w") as said:
        process = subprocess.Popen(
            [*command, str(file)], env=environment, cwd=folder, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        yield Running(psutil.Process(process.pid), log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
