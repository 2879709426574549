"""A second checkout beside the stack's: to a customer, both are one."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from waybill.customers import Shop
from waybill.driver import Waybill
from waybill.local.launch import another
from waybill.stack import Stack
from waybill.token.signing import Signer

pytestmark = pytest.mark.e2e

ORDERS = "/v1/orders"
TWINS = 10
PATIENCE_S = 60.0
AT_ONCE_S = 4.0  # a heartbeat comes after 15; a stream that does not end by itself is cut, which its reader sees


@pytest.fixture(scope="module")
async def stack(running: Waybill) -> Stack:
    stack = Stack.load(running.home)
    async with Shop(stack) as shop:
        await shop.stock({"lamp": (500, 1_000)})
    return stack


@pytest.fixture(scope="module")
async def session(stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {Signer(stack).customer('anna')}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield session


async def ordered(session: aiohttp.ClientSession, url: str, key: str, quantity: int = 1) -> tuple[int, Any, bool]:
    """Return the status, the answer, and whether it is a repetition's."""
    body = {"lines": [{"sku": "lamp", "quantity": quantity}], "payment_token": "tok_ok"}
    async with session.post(url + ORDERS, json=body, headers={"Idempotency-Key": key}) as answer:
        return answer.status, await answer.json(content_type=None), "Idempotency-Replayed" in answer.headers


async def told(session: aiohttp.ClientSession, url: str, order_id: str) -> AsyncIterator[str]:
    """Yield the ids of an order's events as they come."""
    async with session.get(f"{url}{ORDERS}/{order_id}/events") as stream:
        async for line in stream.content:
            if line.startswith(b"id: "):
                yield line.decode().removeprefix("id: ").strip()


async def test_a_key_is_one_order_in_whichever_process(stack: Stack, session: aiohttp.ClientSession) -> None:
    (first,), key = stack.services["checkout"], str(uuid.uuid4())
    async with another(stack, "checkout", "2") as second:
        status, order, _ = await ordered(session, first, key)
        assert status == 202
        assert await ordered(session, second, key) == (202, order, True)
        assert (await ordered(session, second, key, quantity=2))[0] == 422
        keys = [str(uuid.uuid4()) for _ in range(TWINS)] * 2
        answers = await asyncio.gather(*(ordered(session, url, key) for url in (first, second) for key in keys))
    assert {status for status, *_ in answers} == {202}
    assert len({order["order_id"] for _, order, _ in answers}) == TWINS


async def test_who_watches_an_order_in_the_other_process_sees_it_end(
    stack: Stack, session: aiohttp.ClientSession
) -> None:
    (first,) = stack.services["checkout"]
    async with another(stack, "checkout", "2") as second:
        _, order, _ = await ordered(session, first, str(uuid.uuid4()))
        seen = [standing async for standing in told(session, second, order["order_id"])]
    assert seen[-1] == "shipped"


async def test_a_process_that_is_stopped_waits_for_nobody_who_watches(
    running: Waybill, stack: Stack, session: aiohttp.ClientSession
) -> None:
    (first,) = stack.services["checkout"]
    assert (await asyncio.to_thread(running, "stop", "fulfillment")).code == 0
    try:
        async with another(stack, "checkout", "2") as second:
            _, order, _ = await ordered(session, first, str(uuid.uuid4()))
            watching = told(session, second, order["order_id"])
            await anext(watching)
            stopped_at = time.monotonic()
        took_s = time.monotonic() - stopped_at
        assert "shipped" not in [standing async for standing in watching], "it had something to wait for"
    finally:
        assert (await asyncio.to_thread(running, "start", "fulfillment")).code == 0
    assert took_s < AT_ONCE_S
