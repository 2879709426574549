"""`make bench`: what things cost, beside what they are compared with, in turns, on one machine in one run.

Prints tables; `--json` one object. `--write` puts the tables into docs/performance.md, with the day and the command.
"""

import argparse
import asyncio
import datetime as dt
import json
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import endurance
import growth
import guarantees
import hops
import placing
import whole_saga
from hops_cluster import Cluster, a_cluster
from hops_competitors import COMPETITORS, WITH_STATE
from shops import Shop, a_shop
from side_by_side import Table, machine
from sqlalchemy import make_url
from storing_table import storing

from waybill.output import progress
from waybill.testing import postgres_alone

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
ON_A_CLUSTER = {"throughput", "latency", "storing", "growth"}
PARTS: dict[str, Sequence[str]] = {  # by the names of their tables
    **{part: (part,) for part in ("placing", "throughput", "latency", "storing", "saga", "endurance")},
    "growth": ("memory", "batches", "partitions"),
    "processes": ("kept", "processes"),
    "guarantees": ("guarantees", "saturated"),
    "one-broker": ("one-broker",),
}


class Effort(NamedTuple):
    """How much each part is asked to do."""

    placing: placing.Load
    placing_rounds: int
    hops: hops.Effort
    brokers: int
    saga: whole_saga.Effort
    endurance: endurance.Effort
    growth: growth.Effort
    guarantees: guarantees.Effort
    shops: dict[Sequence[str], int]  # the parts that share one, and its brokers


FULL = Effort(
    placing=placing.Load(rate=200, seconds=10),
    placing_rounds=3,
    hops=hops.Effort(rounds=3, records=40_000, rate=200, seconds=6),
    brokers=3,
    saga=whole_saga.FULL,
    endurance=endurance.FULL,
    growth=growth.FULL,
    guarantees=guarantees.FULL,
    shops={("processes",): 3, ("guarantees",): 3, ("one-broker",): 1},
)
QUICK = Effort(
    placing=placing.Load(rate=20, seconds=1),
    placing_rounds=1,
    hops=hops.Effort(rounds=1, records=600, rate=50, seconds=1),
    brokers=1,
    saga=whole_saga.QUICK,
    endurance=endurance.QUICK,
    growth=growth.QUICK,
    guarantees=guarantees.QUICK,
    shops={("processes", "guarantees", "one-broker"): 1},
)


def measure(parts: set[str], effort: Effort, done: Callable[[Table], None]) -> None:
    """Measure these parts; `done` is given the table of each as soon as it is there."""
    if "placing" in parts:
        with postgres_alone() as server:
            done(asyncio.run(placing.compare(make_url(server), effort.placing, effort.placing_rounds)))
    if parts & ON_A_CLUSTER:
        with a_cluster(effort.brokers) as cluster:
            asyncio.run(on_a_cluster(cluster, parts, effort, done))
    if "saga" in parts:
        done(whole_saga.measure(effort.saga))
    if "endurance" in parts:
        done(endurance.measure(effort.endurance))
    for shared, brokers in effort.shops.items():
        if wanted := [part for part in shared if part in parts]:
            with a_shop(brokers, max(effort.growth.instances) if "processes" in wanted else 1) as shop:
                on_a_shop(shop, wanted, effort, done)


async def on_a_cluster(cluster: Cluster, parts: set[str], effort: Effort, done: Callable[[Table], None]) -> None:
    """Measure the parts that need a cluster."""
    if parts & {"throughput", "latency"}:
        async with hops.lanes(cluster, COMPETITORS) as (started, absent):
            if "throughput" in parts:
                done(await hops.throughput(cluster, started, effort.hops, absent))
            if "latency" in parts:
                done(await hops.latency(started, effort.hops))
    if "storing" in parts:
        async with hops.lanes(cluster, WITH_STATE) as (started, _):
            done(await storing(cluster, started, effort.hops))
    if "growth" in parts:
        await growth.of_a_hop(cluster, effort.growth, done)


def on_a_shop(shop: Shop, parts: Sequence[str], effort: Effort, done: Callable[[Table], None]) -> None:
    """Measure the parts that need a shop whose processes change."""
    if "processes" in parts:
        growth.of_a_shop(shop, effort.growth, done)
    if "one-broker" in parts:
        done(guarantees.of_one_broker(shop, effort.guarantees))
    if "guarantees" in parts:  # leaves claims out in the end
        guarantees.measure(shop, effort.guarantees, done)


def main() -> None:
    """Measure what the command line asks for, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be said several times (all)")
    parser.add_argument("--quick", action="store_true", help="see that everything runs; its figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    asked = parser.parse_args()
    measured_on, found = machine(), list[Table]()

    def done(table: Table) -> None:
        found.append(table)
        print(table.markdown(), file=sys.stderr if asked.json else sys.stdout, flush=True)
        if asked.write and not asked.quick:
            write(PAGE, measured_on, table)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("it was told to end"))  # what it started is ended with it
    progress(measured_on)
    measure(set(asked.only or PARTS), QUICK if asked.quick else FULL, done)
    if asked.json:
        print(json.dumps({"machine": measured_on, "tables": {table.name: table.data() for table in found}}))


def write(page: Path, measured_on: str, table: Table) -> None:
    """Put a table into the page, between its marks, with the day, the command and the machine."""
    command = shlex.join(["python", *sys.argv])
    told = f"Measured on {dt.datetime.now(dt.UTC).date()} by `{command}`: {measured_on}."
    begin, end = f"<!-- {table.name} -->", f"<!-- end of {table.name} -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, behind = rest.partition(end)
    page.write_text(f"{before}{begin}\n{table.markdown()}\n{told}\n{end}{behind}")


if __name__ == "__main__":
    main()
