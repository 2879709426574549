"""The payment gateway's client: asks for a charge, and tells an answer from no answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from opentelemetry.propagate import inject

from accounting.domain import Captured, ChargeOutcome, Declined
from accounting.settings import Settings
from contracts import ChargePayment
from exactly_once import RejectRecord, Retryable

CREATED, PAYMENT_REQUIRED = 201, 402
OUR_FAULT = {400, 409, 413, 415, 422}  # asked again, it would be refused again
KEEPALIVE_S = 4.0  # below a server's usual 5 s, or it closes a connection under a request


class Gateway:
    """Charges payments; the order id is the idempotency key, so asking again never charges again."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._charges = f"{url.rstrip('/')}/v1/charges"

    async def charge(self, command: ChargePayment) -> ChargeOutcome:
        """Return what the gateway decided. Retryable while that is unknown, RejectRecord if it refuses the request."""
        headers = {"Idempotency-Key": str(command.order_id)}
        inject(headers)
        body = {
            "amount": command.amount.model_dump(),
            "payment_token": command.payment_token,
            "reference": str(command.order_id),
        }
        try:
            async with self._session.post(self._charges, json=body, headers=headers) as response:
                return await _outcome(response)
        except (ClientError, TimeoutError, ValueError) as error:
            raise Retryable(f"the gateway's answer is unknown: {error!r}") from error


async def _outcome(response: ClientResponse) -> ChargeOutcome:
    """Read an answer; a body that is not JSON or lacks what it must have is a ValueError."""
    if response.status not in {CREATED, PAYMENT_REQUIRED}:
        await _refuse(response)
    body = await response.json(content_type=None)
    name = "charge_id" if response.status == CREATED else "detail"
    match body:
        case {"charge_id": str(charge_id)} if response.status == CREATED:
            return Captured(charge_id)
        case {"detail": str(reason)} if response.status == PAYMENT_REQUIRED:
            return Declined(reason)
    raise ValueError(f"a {response.status} without {name}")


async def _refuse(response: ClientResponse) -> NoReturn:
    """Any other status: what asking again can't mend is rejected, all else (5xx, 429, a revoked key) is retried."""
    said = (await response.text())[:200]
    failure = RejectRecord if response.status in OUR_FAULT else Retryable
    raise failure(f"the gateway answered {response.status}: {said}")


@asynccontextmanager
async def connect(url: str, key: str, timeout_s: float) -> AsyncIterator[Gateway]:
    """Yield a client, and close its connections at the end.

    The library bounds how many calls run at once, so the pool has no limit of its own: waiting for a connection
    would be counted as the gateway's time.
    """
    async with ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
        timeout=ClientTimeout(total=timeout_s),
        headers={"Authorization": f"Bearer {key}"},
    ) as session:
        yield Gateway(session, url)


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[list[Any]]:
    """Yield what the processor's calls ask for."""
    key = settings.gateway_key_file.read_text().strip()
    async with connect(settings.gateway_url, key, settings.gateway_timeout_s) as gateway:
        yield [gateway]
