"""What a load says of orders that were refused, and of a shop that can't be stocked."""

import asyncio
import time
from pathlib import Path

import pytest

from waybill import customers
from waybill.customers import Answer, Shop
from waybill.errors import UsageError
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


async def test_prices_that_checkout_does_not_learn_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(customers, "KNOWN_DEADLINE_S", 0.05)
    monkeypatch.setattr(Shop, "_operate", lambda *_: asyncio.sleep(0))
    monkeypatch.setattr(Shop, "_priced", never)
    shop = Shop(Options.model_validate({"home": tmp_path, "cache": tmp_path}).stack())
    with pytest.raises(UsageError, match="checkout does not learn the prices of cup: see `waybill status`"):
        await shop.stock({"cup": (500, 1)})
