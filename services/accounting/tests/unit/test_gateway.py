"""What the gateway's client says of a gateway that misbehaves."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from accounting.gateway import connect
from contracts import ChargePayment, Money
from exactly_once import Retryable

KEY = "key-that-nobody-may-read"


async def go_round(request: web.Request) -> web.Response:
    raise web.HTTPTemporaryRedirect(request.path)


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize("misbehave", [go_round, hang_up])
async def test_whatever_a_gateway_does_the_sentence_about_it_holds_neither_key_nor_token(
    misbehave: Callable[[web.Request], Awaitable[web.Response]],
) -> None:
    app = web.Application()
    app.router.add_post("/v1/charges", misbehave)
    command = ChargePayment(
        order_id=uuid4(),
        customer_id="anna",
        amount=Money(amount_minor=1, currency="EUR"),
        payment_token="token-that-nobody-may-read",
    )
    async with TestServer(app) as server, connect(str(server.make_url("/")), KEY, timeout_s=5) as gateway:
        with pytest.raises(Retryable) as failed:
            await gateway.charge(command)
    assert "gateway" in str(failed.value)
    assert "nobody-may-read" not in f"{failed.value!r} {failed.value.__cause__}"
