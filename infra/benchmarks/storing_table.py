"""Compares the ways to write claims, accounts and outputs, in turns: those without Kafka, and those with it."""

from contextlib import AsyncExitStack
from functools import partial

from hops import Effort, Lane, a_database, at_full_load
from hops_cluster import Cluster
from side_by_side import Measure, Table, compared, in_turns, medians
from sqlalchemy.ext.asyncio import create_async_engine
from storing import BATCH, CEILING, WAYS, Store

SHARES = {"objects": 0.2, "one record at a time": 0.02}  # of the records: those are slow


async def storing(cluster: Cluster, started: dict[str, Lane], effort: Effort) -> Table:
    """Give each way its records in turns."""
    async with AsyncExitStack() as opened:
        measures: dict[str, Measure] = {}
        for name, way in WAYS.items():
            database = f"storing {name}".replace(" ", "_").replace(",", "")
            engine = create_async_engine(await opened.enter_async_context(a_database(cluster, database)))
            opened.push_async_callback(engine.dispose)
            store = Store(engine, database, way)
            await store.open()
            measures[name] = partial(store.measure, round(effort.records * SHARES.get(name, 1.0)))
        for name, lane in started.items():
            measures[name] = partial(at_full_load, cluster, lane, effort.records)
        notes = [
            "The inbox loses a batch's outputs when it dies between PostgreSQL's commit and their acknowledgement."
        ]
        found = await in_turns(measures, effort.rounds, notes)
    rows = compared({name: medians(runs) for name, runs in found.items()}, "records/s", CEILING)
    shares = ", ".join(f"{name}: {share:.0%} of them" for name, share in SHARES.items())
    told = (
        f"{effort.records:,} records a round ({shares}), at most {BATCH:,} a transaction,"
        f" {effort.rounds} rounds in turns after a warm-up; medians. The first three write events that are decoded"
        " already, and know no Kafka."
    )
    return Table("storing", "A hop with claims, state and outputs in PostgreSQL", told, rows, notes)
