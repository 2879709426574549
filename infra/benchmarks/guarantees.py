"""The whole shop against itself, less a guarantee: without exactly-once, with tracing on, with one broker.

`varied.py` says exactly what a variant leaves out. Nothing fails while it is measured, so nothing shows what the
guarantees are for: the tests of faults do.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from shops import Shop, by_service
from side_by_side import Figures, Table, compared
from varied import AS_IT_IS, AT_LEAST_ONCE, NO_TRANSACTIONS, TRACED
from whole_saga import Load, bear

from waybill.output import progress

BROKEN, NOTED = "violations", "B of transactions an order"
BORNE, SATURATED = "guarantees", "saturated"  # the tables, and the loads
SHOWN = {"kafka": "brokers", "postgres": "PostgreSQL", "gateway": "gateway"}
READ = (
    "Milliseconds of CPU an order, by who used it. Violations: the invariants that the audit found broken. What the"
    " brokers note about transactions, in bytes, tells who used some."
)
SHOWN |= {name: name for name in ("checkout", "inventory", "accounting", "fulfillment")}


class Effort(NamedTuple):
    """The loads, which variants bear each, in which turns, and what the shop bears before."""

    loads: dict[str, Load]
    variants: dict[str, Sequence[str]]
    turns: Sequence[str]
    warm_up: Load | None


FULL = Effort(
    loads={
        BORNE: Load(120, 12, ramp_s=0, warm_up_s=3, processes=1),
        SATURATED: Load(450, 12, ramp_s=3, warm_up_s=2, processes=2),
    },
    variants={
        BORNE: (AS_IT_IS, TRACED, NO_TRANSACTIONS, AT_LEAST_ONCE),
        SATURATED: (AS_IT_IS, NO_TRANSACTIONS, AT_LEAST_ONCE),
    },
    # as it is beside at least once; that at the end, since the audit behind every later load would miss its claims too
    turns=(TRACED, NO_TRANSACTIONS, AS_IT_IS, AT_LEAST_ONCE),
    warm_up=Load(250, 25, ramp_s=5, warm_up_s=0, processes=2),
)
A_FEW = Load(10, 1, ramp_s=0, warm_up_s=0, processes=1)
QUICK = Effort(
    loads={BORNE: A_FEW, SATURATED: A_FEW},
    variants={BORNE: (TRACED, NO_TRANSACTIONS), SATURATED: (AT_LEAST_ONCE,)},
    turns=(TRACED, NO_TRANSACTIONS, AT_LEAST_ONCE),
    warm_up=None,
)


def measure(shop: Shop, effort: Effort, done: Callable[[Table], None]) -> None:
    """Have the variants of a shop bear the loads."""
    found, notes = _borne(shop, effort)
    if not shop.spans.number:
        raise RuntimeError("the services were traced, but no span came")
    for name, load in effort.loads.items():
        told = (
            f"{load.rate:g} orders/s offered for {load.seconds:g} s, {shop.brokers} broker(s), one process of each"
            f" service, started anew for each variant while the brokers stay warm, after the same loads as a warm-up."
            f" {READ}"
        )
        rows = {variant: found[name][variant] for variant in effort.variants[name]}
        title = "What the guarantees cost" + (" at full load" if name == SATURATED else "")
        reference = effort.variants[name][-1 if name == SATURATED else 0]
        done(Table(name, title, told, compared(rows, "shipped/s", reference), notes[name]))


def _borne(shop: Shop, effort: Effort) -> tuple[dict[str, dict[str, Figures]], dict[str, list[str]]]:
    """Return what each load cost each variant, and which invariants that broke."""
    _warm(shop, effort)
    found: dict[str, dict[str, Figures]] = {name: {} for name in effort.loads}
    notes: dict[str, list[str]] = {name: [] for name in effort.loads}
    for variant in effort.turns:
        shop.change(variant)
        for name, load in effort.loads.items():
            if variant in effort.variants[name]:
                found[name][variant], broken = _bear(shop, variant, load)
                notes[name] += [f"{variant}, what is broken: {each}" for each in broken]
    return found, notes


def of_one_broker(shop: Shop, effort: Effort) -> Table:
    """Have a shop of one broker bear the loads."""
    _warm(shop, effort)
    rows = {f"{load.rate:g} orders/s": _bear(shop, "one broker", load)[0] for load in effort.loads.values()}
    told = f"As it is, where there is one copy of each record: the same loads, behind the same warm-up. {READ}"
    return Table("one-broker", "What three brokers cost: one", told, rows)


def _warm(shop: Shop, effort: Effort) -> None:
    if effort.warm_up:
        for load in (effort.warm_up, *effort.loads.values()):
            bear(shop.command, "warm-up", load)


def _bear(shop: Shop, name: str, load: Load) -> tuple[Figures, list[str]]:
    noted = shop.transactions()
    data = bear(shop.command, name, load)
    row = figures(data) | {NOTED: (shop.transactions() - noted) / max(1, data["shipped"])}
    progress(f"{name}: {json.dumps(row)}")
    return row, _broken(data)


def figures(data: dict[str, Any]) -> Figures:
    """Return a row of what `waybill load --json` printed."""
    used = by_service(data["cpu_ms_per_order"])
    row = {"shipped/s": data["shipped_per_s"], "CPU ms an order": sum(used.values())}
    row |= {shown: used[name] for name, shown in SHOWN.items()}
    for what, told in {"202": data["accept_ms"], "shipped": data["ship_ms"]}.items():
        row |= {f"{what} {each} ms": told.get(each, 0.0) for each in ("p50", "p99")}
    return row | {BROKEN: len(_broken(data))}


def _broken(data: dict[str, Any]) -> list[str]:
    return [each["name"] for each in data["audit"]["invariants"] if each["ok"] is False]
