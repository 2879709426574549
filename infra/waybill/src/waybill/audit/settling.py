"""Waits, within bounds, until nothing is on its way any more."""

import asyncio
import time
from typing import NamedTuple

from contracts import SERVICES
from waybill.audit.databases import snapshot
from waybill.audit.evidence import Partition
from waybill.audit.kafka import Topics
from waybill.audit.wiring import Wiring
from waybill.output import progress
from waybill.stack import Stack

LOOK_AGAIN_S = 0.25
TELL_EVERY_S = 2.0


class OnTheWay(NamedTuple):
    """What still moves: events in outboxes, and how far groups are behind."""

    outboxes: int
    lag: dict[str, int]

    def __str__(self) -> str:
        behind = ", ".join(f"{service} is {lag} behind" for service, lag in sorted(self.lag.items()) if lag)
        return "; ".join(filter(None, [f"{self.outboxes} events in outboxes" if self.outboxes else "", behind]))


async def settle(stack: Stack, topics: Topics, wiring: Wiring, wait_s: float) -> bool:
    """Wait until no outbox holds an event and no group is behind; False when the time is up before.

    An order that has no end then never gets one by itself: it is stuck, and waiting longer would not help.
    """
    deadline = time.monotonic() + wait_s
    told = time.monotonic()
    while True:
        moving = await _moving(stack, topics, wiring)
        if not moving.outboxes and not any(moving.lag.values()):
            return True
        now = time.monotonic()
        if now >= deadline:
            progress(f"time is up: {moving}")
            return False
        if now - told >= TELL_EVERY_S:
            told = now
            progress(f"waiting until all is settled: {moving}")
        await asyncio.sleep(LOOK_AGAIN_S)


async def _moving(stack: Stack, topics: Topics, wiring: Wiring) -> OnTheWay:
    """Look at outboxes, then offsets, then ends: in this order nothing slips through from one to the next."""
    outboxes = sum(await asyncio.gather(*(_outbox(stack, service) for service in SERVICES)))
    lag = await asyncio.to_thread(_lag, topics, wiring)
    return OnTheWay(outboxes, lag)


async def _outbox(stack: Stack, service: str) -> int:
    async with snapshot(stack, service) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM outbox"))


def _lag(topics: Topics, wiring: Wiring) -> dict[str, int]:
    committed = {service: topics.committed(service) for service in SERVICES}
    bounds = topics.bounds()
    lag: dict[str, int] = {}
    for service in SERVICES:
        read = [partition for partition in bounds if partition[0] in wiring.reads(service)]
        start = {partition: max(committed[service].get(partition, 0), bounds[partition].low) for partition in read}
        open_ends: dict[Partition, int] = {each: at for each, at in start.items() if at < bounds[each].high}
        behind = sum(bounds[each].high - at for each, at in open_ends.items())
        lag[service] = behind if open_ends and _has_records(topics, open_ends) else 0
    return lag


def _has_records(topics: Topics, open_ends: dict[Partition, int]) -> bool:
    """Tell records from the control records that end transactions: those are nobody's lag."""
    return topics.behind(open_ends) is not None
