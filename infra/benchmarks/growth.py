"""How cost grows: with the size of a transaction, with partitions, with orders kept, with processes of each service."""

import asyncio
import json
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from guarantees import figures
from hops import Lane, at_full_load, lanes
from hops_cluster import Cluster
from hops_competitors import Competitor, ours
from shops import Shop
from side_by_side import Figures, Measure, Table, compared, in_turns, medians
from whole_saga import Load, bear

from waybill.output import progress
from waybill.usage import memory

BATCHES_A_ROUND = 100  # as many are enough where each is small
COPIES_DEADLINE_S = 30.0
KIB, MIB = 1 << 10, 1 << 20
Done = Callable[[Table], None]


class Effort(NamedTuple):
    """Which sizes are measured, and with how much; `first` is a load that the disks are measured by."""

    most_records: tuple[int, ...]
    partitions: tuple[int, ...]
    idle_partitions: tuple[int, ...]
    records: int
    rounds: int
    first: Load
    instances: tuple[int, ...]
    load: Load


FULL = Effort(
    most_records=(10, 50, 250, 1_000, 2_000, 4_000),
    partitions=(3, 12, 48),
    idle_partitions=(150, 450),
    records=20_000,
    rounds=2,
    first=Load(200, 25, ramp_s=0, warm_up_s=0, processes=2),
    instances=(1, 2, 3),
    load=Load(450, 15, ramp_s=3, warm_up_s=3, processes=2),
)
A_FEW = Load(10, 1, ramp_s=0, warm_up_s=0, processes=1)
QUICK = Effort(
    most_records=(10, 100),
    partitions=(3, 6),
    idle_partitions=(6,),
    records=200,
    rounds=1,
    first=A_FEW,
    instances=(2,),
    load=A_FEW,
)


async def of_a_hop(cluster: Cluster, effort: Effort, done: Done) -> None:
    """Measure the brokers' memory, then the library's hop by the size of a transaction, then by partitions."""
    done(await asyncio.to_thread(_idle, cluster, effort))
    library = partial(Competitor, command=ours("library"))
    sizes = {f"{most:,}": library(f"batches of {most}", most_records=most) for most in effort.most_records}
    told = (
        f"The library's hop with a backlog, at most so many records a transaction; CPU a record."
        f" {effort.rounds} round(s) in turns after a warm-up; {len(cluster.brokers)} broker(s), three partitions."
    )
    rows = await _at_full_load(cluster, sizes, effort)
    done(Table("batches", "Cost by the size of a transaction", told, rows))
    counts = {f"{number}": library(f"{number} partitions", partitions=number) for number in effort.partitions}
    told = "The same, with so many partitions of the input and of the output, all of them in one process."
    rows = compared(await _at_full_load(cluster, counts, effort), "records/s", next(iter(counts)))
    done(Table("partitions", "Cost by partitions", told, rows))


async def _at_full_load(cluster: Cluster, hops: dict[str, Competitor], effort: Effort) -> dict[str, Figures]:
    async with lanes(cluster, list(hops.values())) as (started, _):
        measures: dict[str, Measure] = {}
        for name, hop in hops.items():
            records = min(effort.records, hop.most_records * BATCHES_A_ROUND)
            measures[name] = partial(_with_memory, cluster, started[hop.name], records)
        return {name: medians(runs) for name, runs in (await in_turns(measures, effort.rounds)).items()}


async def _with_memory(cluster: Cluster, lane: Lane, records: int) -> Figures:
    return await at_full_load(cluster, lane, records) | {"its MiB": memory(lane.runs.process.pid) / MIB}


def _idle(cluster: Cluster, effort: Effort) -> Table:
    """Make partitions that nobody uses, and look at the brokers' memory each time; then they go again."""
    rows, before, total, made = dict[str, Figures](), 0.0, 0, list[str]()
    for more in (0, *effort.idle_partitions):
        if more:
            made.append(f"idle.{more}")
            cluster.make_topics(made[-1:], more)
            _await_copies(cluster, made[-1], more)
        total, used = total + more, sum(memory(broker.pid) for broker in cluster.brokers) / MIB
        before = before or used
        rows[f"{total}"] = {"brokers' MiB": used, "more": used - before}
    cluster.drop_topics(made)
    told = f"New brokers, {len(cluster.brokers)} of them, with so many more partitions that nobody uses."
    return Table("memory", "The brokers' memory by partitions", told, rows)


def _await_copies(cluster: Cluster, topic: str, partitions: int) -> None:
    """Wait until every broker has made its folders."""
    until = time.monotonic() + COPIES_DEADLINE_S
    while len(list((cluster.stack.home / "kafka").glob(f"*/{topic}-*"))) < partitions * len(cluster.brokers):
        if time.monotonic() > until:
            raise TimeoutError(f"{topic} is not on every broker")
        time.sleep(0.1)


def of_a_shop(shop: Shop, effort: Effort, done: Done) -> None:
    """Measure what an order leaves on the disks, then how the shop does with more processes of each service."""
    done(_kept(shop, effort.first))
    rows: dict[str, Figures] = {}
    for number in effort.instances:
        shop.change(instances=number)
        data = bear(shop.command, f"{number} of each", effort.load)
        rows[f"{number}"] = figures(data) | {"MiB": sum(data["memory_mib"].values())}
        progress(f"{number} of each: {json.dumps(rows[f'{number}'])}")
    told = (
        f"{effort.load.rate:g} orders/s offered for {effort.load.seconds:g} s, {shop.brokers} broker(s), so many"
        " processes of each service; everything, and what offers, on this machine."
    )
    rows = compared(rows, "shipped/s", f"{effort.instances[0]}")
    done(Table("processes", "The whole shop by processes of each service", told, rows))


def _kept(shop: Shop, load: Load) -> Table:
    def kept() -> Figures:
        tables = {f"PostgreSQL: {name}": size for name, size in asyncio.run(shop.stored()).items()}
        return {"Kafka, every copy": shop.logged()} | tables

    before = kept()
    orders = bear(shop.command, "the first orders", load)["accepted"]
    rows = {name: {"KiB": (size - before[name]) / KIB / orders} for name, size in kept().items()}
    told = (
        f"An order's part of what {orders:,} orders, in {load.seconds:g} s, left in the logs of {shop.brokers}"
        " broker(s), transactions and offsets included, and in the services' tables, indexes included."
    )
    return Table("kept", "What an order leaves", told, rows)
