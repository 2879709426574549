"""The audit: wait until all is settled, read everything once, judge every invariant."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from confluent_kafka import KafkaException

from waybill.audit.evidence import Evidence
from waybill.audit.gather import gather
from waybill.audit.history import History
from waybill.audit.invariants import judge
from waybill.audit.kafka import Topics
from waybill.audit.report import Report, lines_of
from waybill.audit.settling import settle
from waybill.audit.shop import Answer
from waybill.audit.wiring import Wiring
from waybill.output import progress
from waybill.patience import cant_be_read
from waybill.stack import Stack


async def audit(
    stack: Stack, *, wait_s: float = 30, answers: Sequence[Answer] | None = None, history: History | None = None
) -> Report:
    """Return the verdict on every invariant. UsageError: a part of the stack can't be read.

    `wait_s` bounds the waiting for orders under way; `answers` are what a client was told, if it kept them; `history`
    is what a `Watch` saw before.
    """
    began = time.monotonic()
    try:
        evidence = await collect(stack, wait_s=wait_s)
    except KafkaException as error:
        raise cant_be_read(error) from error
    with everything_kept():
        lines = lines_of(judge(replace(evidence, answers=answers, history=history)))
    return Report(
        ok=all(line.ok is not False for line in lines),
        settled=evidence.settled,
        orders=len(evidence.tables.orders),
        records=len(evidence.records),
        seconds=round(time.monotonic() - began, 3),
        invariants=lines,
    )


async def collect(stack: Stack, *, wait_s: float) -> Evidence:
    """Return the evidence of a stack at rest, or of one in motion when the time is up."""
    topics, wiring = Topics(stack), Wiring.of_contracts()
    deadline = time.monotonic() + wait_s
    while True:
        at_rest = await settle(stack, topics, wiring, deadline - time.monotonic())
        with everything_kept():
            evidence = await gather(stack, topics, wiring)
        if evidence.settled or not at_rest or time.monotonic() >= deadline:
            return evidence
        progress("something moved while it was read: reading again")


@contextmanager
def everything_kept() -> Iterator[None]:
    """Let the garbage collector rest: millions of records are made and kept, and it took a third of all time for none.

    What nobody refers to is freed all the same; only cycles stay until it is on again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
