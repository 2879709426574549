"""What the gateway's client says of a gateway that misbehaves."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from accounting.domain import ChargeOutcome, Declined
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


async def charged(answer: Callable[[web.Request], Awaitable[web.Response]]) -> ChargeOutcome:
    """Return what the client makes of a gateway that answers so."""
    app = web.Application()
    app.router.add_post("/v1/charges", answer)
    command = ChargePayment(
        order_id=uuid4(),
        customer_id="anna",
        amount=Money(amount_minor=1, currency="EUR"),
        payment_token="token-that-nobody-may-read",
    )
    async with TestServer(app) as server, connect(str(server.make_url("/")), KEY, timeout_s=5) as gateway:
        return await gateway.charge(command)


@pytest.mark.parametrize("charge_id", ["", "c" * 201, "c\0", "c\n"], ids=["none", "too long", "zero byte", "line feed"])
async def test_money_that_moved_under_an_id_that_can_not_be_recorded_is_asked_after_again(charge_id: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"charge_id": charge_id}, status=201)

    with pytest.raises(Retryable, match="an id of"):
        await charged(answer)


async def test_a_reason_of_any_length_fits_into_an_event() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"detail": "no\0" + "x" * 600}, status=402)

    assert await charged(answer) == Declined("no" + "x" * 498)


@pytest.mark.parametrize("misbehave", [go_round, hang_up])
async def test_whatever_a_gateway_does_the_sentence_about_it_holds_neither_key_nor_token(
    misbehave: Callable[[web.Request], Awaitable[web.Response]],
) -> None:
    with pytest.raises(Retryable) as failed:
        await charged(misbehave)
    assert "gateway" in str(failed.value)
    assert "nobody-may-read" not in f"{failed.value!r} {failed.value.__cause__}"
