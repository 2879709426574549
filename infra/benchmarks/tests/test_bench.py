"""The benchmarks run, on little: every row is there, or says why not, and no exactly-once competitor lies."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import growth
import pytest
from bench import PARTS
from guarantees import BROKEN, NOTED
from hops_competitors import COMPETITORS, WITH_STATE
from storing import WAYS
from varied import AT_LEAST_ONCE, NO_TRANSACTIONS, TRACED

from contracts import SERVICES

BENCH = Path(__file__).parents[1] / "bench.py"
FAULTS = ("lost", "doubled", "wrong")


ON_A_SHOP_THAT_CHANGES = ("processes", "one-broker", "guarantees")
NIGHTLY = (*ON_A_SHOP_THAT_CHANGES, "endurance")
MOST_MIB, GROWTH = 160, 1.05  # of a service, as the design has it; and between its tenth minute and its last


def quick(parts: Iterable[str]) -> dict[str, Any]:
    return measured(parts, "--quick")


def measured(parts: Iterable[str], *how: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCH), *how, "--json", *(word for part in parts for word in ("--only", part))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    found: dict[str, Any] = json.loads(done.stdout)["tables"]
    return found


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return quick(part for part in PARTS if part not in NIGHTLY)


pytestmark = pytest.mark.integration


def test_orders_are_accepted_by_both_servers(tables: dict[str, Any]) -> None:
    rows = tables["placing"]["rows"]
    assert rows.keys() == {"checkout", "bare"}
    assert [row["refused"] for row in rows.values()] == [0, 0]


@pytest.mark.parametrize("name", ["throughput", "latency"])
def test_every_competitor_has_a_row_or_a_reason(tables: dict[str, Any], name: str) -> None:
    told = " ".join(tables["throughput"]["notes"])
    missing = [each.name for each in COMPETITORS if each.name not in tables[name]["rows"]]
    assert [each for each in missing if f"{each} is not in the table" not in told] == []
    assert {"library", "by hand"} <= tables[name]["rows"].keys()


def test_nobody_loses_doubles_or_miscounts(tables: dict[str, Any]) -> None:
    for name in ("throughput", "latency"):
        for who, row in tables[name]["rows"].items():
            assert [row.get(fault, 0) for fault in FAULTS] == [0, 0, 0], (name, who)


def test_every_way_to_store_has_a_row(tables: dict[str, Any]) -> None:
    rows = tables["storing"]["rows"]
    assert rows.keys() == {*WAYS, *(each.name for each in WITH_STATE)}
    assert all(row["records/s"] > 0 for row in rows.values())


def test_the_whole_saga_ends_every_order_that_it_took(tables: dict[str, Any]) -> None:
    found = {figure: row["a few"] for figure, row in tables["saga"]["rows"].items()}
    assert (found["accepted"], found["refused"], found["accepted, but never ended"], found["violations"]) == (
        20,
        0,
        0,
        0,
    )
    assert found["shipped p99 ms"] > 0


def test_growth_has_a_row_for_every_size(tables: dict[str, Any]) -> None:
    for name, sizes in (("batches", growth.QUICK.most_records), ("partitions", growth.QUICK.partitions)):
        rows = tables[name]["rows"]
        assert rows.keys() == {f"{size}" for size in sizes}
        assert [[row[fault] for fault in FAULTS] for row in rows.values()] == [[0, 0, 0]] * len(sizes)
    assert len(tables["memory"]["rows"]) == 1 + len(growth.QUICK.idle_partitions)


@pytest.mark.nightly
def test_a_service_does_without_what_a_variant_leaves_out_and_not_without_more() -> None:
    tables = quick(ON_A_SHOP_THAT_CHANGES)
    assert tables["kept"]["rows"]["PostgreSQL: claims"]["KiB"] > 0
    assert [row[BROKEN] for row in tables["processes"]["rows"].values()] == [0]
    borne, saturated = tables["guarantees"]["rows"], tables["saturated"]["rows"]
    assert (borne.keys(), saturated.keys()) == ({TRACED, NO_TRANSACTIONS}, {AT_LEAST_ONCE})
    found = {name: (row[BROKEN] > 0, row[NOTED] > 0) for name, row in (borne | saturated).items()}
    # it is the claims that the audit misses of the last one
    assert found == {TRACED: (False, True), NO_TRANSACTIONS: (False, False), AT_LEAST_ONCE: (True, False)}


@pytest.mark.nightly
@pytest.mark.parametrize("how", [["--quick"], []], ids=["quick", "half an hour"])
def test_after_half_an_hour_of_orders_no_service_is_large_or_grows(how: list[str]) -> None:
    rows = measured(["endurance"], *how)["endurance"]["rows"]
    services = {name: row for name, row in rows.items() if name.rpartition("-")[0] in SERVICES}
    assert len(services) == len(SERVICES)
    for name, row in services.items():
        last = [*row.values()][-1]
        assert 0 < last <= MOST_MIB, (name, row)
        assert last <= row.get("after 10 min", last) * GROWTH, (name, row)
