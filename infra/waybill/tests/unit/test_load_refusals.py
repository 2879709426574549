"""What a load says of the orders that were refused."""

import time
from pathlib import Path

import pytest

from waybill.customers import Answer, Shop
from waybill.load.generator import Task, _Offers
from waybill.load.plan import Plan
from waybill.load.result import result
from waybill.local.layout import Options
from waybill.watcher import Watcher


async def test_refusals_are_counted_by_status_and_by_what_was_said_the_warm_up_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def order(_: Shop, customer: str, lines: object, token: str, key: str) -> Answer:
        if key.endswith(("-0", "-3")):
            return Answer(
                503, None, replayed=False, key=key, customer_id=customer, retry_after="1", why="too many wait"
            )
        return Answer(202, key, replayed=False, key=key, customer_id=customer)

    monkeypatch.setattr(Shop, "order", order)
    plan = Plan(rate=1_000, ramp_s=0, warm_up_s=0.002, duration_s=0.004)
    stack = Options.model_validate({"home": tmp_path, "cache": tmp_path}).stack()
    offers = _Offers(Task(stack, plan, "run", "cup", first=0, step=1), Shop(stack), time.monotonic())
    await offers.offer()
    found = result(plan, offers.outcome, Watcher(stack), {})
    assert (found["offered"], found["accepted"], found["refused"]) == (4, 3, 1)
    assert (found["refused_by"], found["refused_because"]) == ({"503": 1}, {"too many wait": 1})
