"""A request whose COMMIT got no answer: whatever became of it, the same key leads to one order."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import asyncpg
import httpx
import pytest
from services.checkout.tests.integration.ready import Opened, until_ready
from services.checkout.tests.integration.wire import Wire, wire_to

from chassis.loans import LONGEST_S
from waybill.stack import Stack

pytestmark = pytest.mark.integration

Ordered = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def wire(migrated: Stack) -> AsyncIterator[Wire]:
    async with wire_to(migrated.postgres_port) as wire:
        yield wire


@pytest.mark.parametrize("lose", ["its answer", "every word", "the commit"])
async def test_after_a_lost_commit_the_same_key_leads_to_one_order_in_any_process_and_after_a_restart(
    open_checkout: Opened, order: Ordered, wire: Wire, connection: asyncpg.Connection, lose: str
) -> None:
    customer, key = f"lost-{uuid4()}", str(uuid4())
    async with open_checkout(instance="2") as other:
        async with open_checkout(postgres_port=wire.port) as client:
            await until_ready(client)
            await until_ready(other)
            assert (await order(client, str(uuid4()), customer=customer)).status_code == 202
            wire.lose, wire.whose, wire.at, began = lose, key, 1, time.monotonic()
            first = await order(client, key, customer=customer)
            assert time.monotonic() - began < LONGEST_S + 1
            assert wire.lost.is_set()
            elsewhere = await order(other, key, customer=customer)
            again = await order(client, key, customer=customer)
        async with open_checkout() as restarted:
            await until_ready(restarted)
            later = await order(restarted, key, customer=customer)
    assert (first.status_code, first.headers["retry-after"]) == (503, "1")
    assert {answer.status_code for answer in (elsewhere, again, later)} == {202}
    assert {answer.headers.get("idempotency-replayed") for answer in (again, later)} == {"true"}
    assert ("idempotency-replayed" in elsewhere.headers) == (lose != "the commit")
    assert elsewhere.json() == again.json() == later.json()
    assert await connection.fetchval("SELECT count(*) FROM orders WHERE customer_id = $1", customer) == 2
