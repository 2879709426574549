"""What a hop from topic to topic costs, once and no more: by our library, by hand and by others, in turns.

Throughput: a backlog becomes visible in one moment, and the clock stops when the group has committed its end. Latency:
records come at a steady rate, from the moment that each was due until a `read_committed` reader has its output.
"""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hops_cluster import Cluster
from hops_competitors import COMMIT_S, HAND, Competitor, Running, lane, running
from hops_peers import Absent
from hops_witness import Reader, Writer, verdict, wait_until_committed
from processors import ACCOUNTS
from side_by_side import MICROSECONDS, Figures, GaveUp, Table, backends_s, compared, cpu_s, in_turns, medians, sums
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from exactly_once.tables import create_tables
from exactly_once.testing import empty_database
from waybill.groups import GroupOffsets
from waybill.latency import percentiles_ms
from waybill.output import progress

LATE_S = 15.0
AT_ONCE = {"isolation.level": "read_uncommitted"}  # else librdkafka waits 100 ms where a commit is under way
FAULTS = ("lost", "doubled", "wrong")


class Effort(NamedTuple):
    """How much is asked: rounds behind the warm-up, records of a backlog, and for the latency rate and seconds."""

    rounds: int
    records: int
    rate: float
    seconds: float


@dataclass
class Lane:
    """A competitor that runs, its writer and its reader."""

    runs: Running
    writer: Writer
    reader: Reader
    group: GroupOffsets
    input: str
    database: str
    offered: int = 0

    def numbers(self, number: int) -> range:
        """Return the numbers of the next inputs."""
        first, self.offered = self.offered, self.offered + number
        return range(first, self.offered)


@asynccontextmanager
async def lanes(
    cluster: Cluster, competitors: Sequence[Competitor]
) -> AsyncIterator[tuple[dict[str, Lane], list[str]]]:
    """Start everybody, each with its own topics, group and database; yield them, and why others are not there."""
    absent = list[str]()
    async with AsyncExitStack() as opened:
        started: dict[str, Lane] = {}
        for competitor in competitors:
            try:
                command = competitor.command()
            except Absent as error:
                absent.append(f"{competitor.name} is not in the table: {error}")
                continue
            url = await opened.enter_async_context(a_database(cluster, competitor.lane))
            started[competitor.name] = opened.enter_context(_lane(cluster, competitor, command, url))
        yield started, absent


@asynccontextmanager
async def a_database(cluster: Cluster, name: str) -> AsyncIterator[URL]:
    """Make a database with the library's tables and the accounts, for the length of the block."""
    server = make_url(cluster.stack.postgres_dsn("postgres", "operator")).set(drivername="postgresql+asyncpg")
    async with empty_database(server, name) as url:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(create_tables)
            await connection.execute(text(ACCOUNTS))
        await engine.dispose()
        yield url


@contextmanager
def _lane(cluster: Cluster, competitor: Competitor, command: list[str], url: URL) -> Iterator[Lane]:
    told = lane(competitor, cluster, url)
    partitions = competitor.partitions
    cluster.make_topics([told["input"], told["output"]], partitions)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="waybill-bench-")))
        runs = opened.enter_context(running(command, told, folder))
        group = opened.enter_context(GroupOffsets(cluster.client | AT_ONCE, told["group"]))
        reader = Reader(cluster, told["output"], partitions)
        opened.callback(reader.close)
        yield Lane(runs, Writer(cluster, told["input"], partitions), reader, group, told["input"], competitor.lane)


async def throughput(cluster: Cluster, started: dict[str, Lane], effort: Effort, notes: list[str]) -> Table:
    """Give everybody a backlog in turns; return how fast it was, what it cost, and what came of it."""
    measures = {name: partial(at_full_load, cluster, each, effort.records) for name, each in started.items()}
    found = await in_turns(measures, effort.rounds, notes)
    rows = {name: medians(runs) | _faults(runs) for name, runs in found.items()}
    told = (
        f"{effort.records:,} records of some 200 bytes a round, {effort.rounds} rounds in turns after a warm-up;"
        f" medians, and the sums of what was lost, doubled and wrong. {len(cluster.brokers)} broker(s), commits every"
        f" {COMMIT_S * 1000:g} ms."
    )
    return Table("throughput", "A hop at full load", told, compared(rows, "records/s", HAND.name), notes)


def _faults(runs: Sequence[Figures]) -> Figures:
    return {column: figure for column, figure in sums(runs).items() if column in FAULTS}


async def at_full_load(cluster: Cluster, competes: Lane, records: int) -> Figures:
    """Give one competitor a backlog."""
    return await asyncio.to_thread(_at_full_load, cluster, competes, records)


def _at_full_load(cluster: Cluster, competes: Lane, records: int) -> Figures:
    numbers = competes.numbers(records)
    backlog = competes.writer.backlog(numbers)
    before = _cpu_s(cluster, competes)
    try:
        ended_at = wait_until_committed(competes.group, competes.input, backlog.ends, competes.runs.alive)
    except TimeoutError as error:
        progress(competes.runs.log.read_text()[-2_000:])
        raise GaveUp(str(error)) from error
    spent = [behind - then for then, behind in zip(before, _cpu_s(cluster, competes), strict=True)]
    own, brokers, postgres = (each * MICROSECONDS / records for each in spent)
    figures = {"records/s": records / (ended_at - backlog.visible_at), "own CPU µs": own, "brokers' CPU µs": brokers}
    return figures | {"PostgreSQL's CPU µs": postgres} | verdict(competes.reader.everything(), numbers)


def _cpu_s(cluster: Cluster, competes: Lane) -> tuple[float, float, float]:
    return cpu_s(competes.runs.process), cluster.brokers_cpu_s(), backends_s(competes.database)


async def latency(started: dict[str, Lane], effort: Effort) -> Table:
    """Offer everybody a steady load in turns; return how long outputs took to be visible."""
    measures = {name: partial(asyncio.to_thread, _at_a_steady_rate, each, effort) for name, each in started.items()}
    notes = list[str]()
    found = await in_turns(measures, effort.rounds, notes)
    rows = {name: medians(runs) | _faults(runs) for name, runs in found.items()}
    told = (
        f"{effort.rate:g} records/s for {effort.seconds:g} s a round, {effort.rounds} rounds in turns after a warm-up;"
        " milliseconds from the moment that a record was due until a read_committed reader had its output; medians."
    )
    return Table("latency", "A hop at a steady rate", told, compared(rows, "p50", HAND.name), notes)


def _at_a_steady_rate(competes: Lane, effort: Effort) -> Figures:
    if not competes.runs.alive():
        raise GaveUp("it has ended")
    numbers, ready = competes.numbers(round(effort.rate * effort.seconds)), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(competes.reader.arrivals, len(numbers), effort.seconds + LATE_S, ready)
        ready.wait()
        due = competes.writer.steadily(numbers, effort.rate)
        arrived = reading.result()
    took = [arrived[number] - moment for number, moment in due.items() if number in arrived]
    return percentiles_ms(took) | {"lost": len(due) - len(took)}
