"""What each process of the shop takes of the memory, and whether it still grows after half an hour of orders."""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from side_by_side import Figures, GaveUp, Table
from whole_saga import Load, a_new_shop, bear

from contracts.topics import MIB
from waybill.driver import Waybill
from waybill.usage import memory

MOSTLY = 0.9  # accepted, or it was no such load


class Effort(NamedTuple):
    """A load, and after how many seconds of it the memory is looked at."""

    load: Load
    looks_s: tuple[float, ...]
    brokers: int


FULL = Effort(Load(200, 1_800, ramp_s=20, warm_up_s=0, processes=1), looks_s=(120, 600, 1_200, 1_790), brokers=3)
QUICK = Effort(Load(10, 3, ramp_s=0, warm_up_s=0, processes=1), looks_s=(1, 2), brokers=1)


def measure(effort: Effort) -> Table:
    """Have a shop of its own bear the load, and look at its processes meanwhile."""
    with a_new_shop(effort.brokers) as shop, ThreadPoolExecutor(1) as one:
        looks, began = {"at the start": _memory(shop)}, time.monotonic()
        bearing = one.submit(bear, shop, "endurance", effort.load)
        for after_s in effort.looks_s:
            _until(began + after_s, bearing)
            looks[f"after {after_s / 60:.3g} min"] = _memory(shop)
        data = bearing.result()
    if data["unsettled"] or _broken(data) or data["accepted"] < effort.load.rate * effort.load.seconds * MOSTLY:
        raise GaveUp(f"it did not bear the load: {data}")
    placed, shipped = data["accept_ms"], data["ship_ms"]
    told = (
        f"{effort.load.rate:g} orders/s for {effort.load.seconds / 60:.3g} min on a stack with {effort.brokers}"
        " broker(s); MiB of each process, its children included."
        f" {data['accepted']:,} orders were accepted, {data['refused']:,} refused; {data['unsettled']} have not ended,"
        f" {_broken(data)} invariants are broken. 202: p50 {placed['p50']:g}, p99 {placed['p99']:g} ms;"
        f" shipped: p50 {shipped['p50']:,.0f}, p99 {shipped['p99']:,.0f} ms."
    )
    rows = {name: {when: found[name] for when, found in looks.items()} for name in looks["at the start"]}
    rows["in all"] = {when: sum(found.values()) for when, found in looks.items()}
    return Table("endurance", "Half an hour of orders", told, rows)


def _until(due: float, bearing: Future[dict[str, Any]]) -> None:
    """Wait for a moment. GaveUp: the load has ended before it."""
    if wait([bearing], timeout=max(0.0, due - time.monotonic())).done:
        raise GaveUp(f"the load has ended too soon: {bearing.result()}")


def _memory(shop: Waybill) -> Figures:
    processes = shop("status", "--json").data["processes"]
    return {each["name"]: memory(each["pid"]) / MIB for each in processes if each["pid"]}


def _broken(data: dict[str, Any]) -> int:
    return sum(each["ok"] is False for each in data["audit"]["invariants"])
