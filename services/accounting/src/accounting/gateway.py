"""The payment gateway's client: asks for charges and refunds, and tells an answer from no answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from opentelemetry.propagate import inject

from accounting.domain import Captured, ChargeOutcome, Declined, Refunded
from accounting.settings import Settings
from contracts import ChargePayment, RefundPayment
from exactly_once import RejectRecord, Retryable

T = TypeVar("T")

CREATED, PAYMENT_REQUIRED = 201, 402
OUR_FAULT = {400, 404, 409, 413, 415, 422}  # asked again, it would be refused again
LONGEST_ID, LONGEST_REASON = 200, 500  # as our events have them
KEEPALIVE_S = 4.0  # below a server's usual 5 s, or it closes a connection under a request


class Gateway:
    """Charges and refunds payments; the idempotency key is the order's, so asking again moves no money again."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/v1"

    async def charge(self, command: ChargePayment) -> ChargeOutcome:
        """Return what the gateway decided. Retryable while that is unknown, RejectRecord if it refuses the request."""
        body = {
            "amount": command.amount.model_dump(),
            "payment_token": command.payment_token,
            "reference": str(command.order_id),
        }
        return await self._ask("charges", body, key=str(command.order_id), read=_outcome)

    async def refund(self, command: RefundPayment) -> Refunded:
        """Return how the whole charge was given back. Retryable and RejectRecord as of a charge."""
        body = {
            "amount": command.amount.model_dump(),
            "charge_id": command.charge_id,
            "reference": str(command.order_id),
        }
        return await self._ask("refunds", body, key=f"{command.order_id}:refund", read=_refunded)

    async def _ask(
        self, what: str, body: dict[str, Any], *, key: str, read: Callable[[ClientResponse], Awaitable[T]]
    ) -> T:
        headers = {"Idempotency-Key": key}
        inject(headers)
        try:
            async with self._session.post(
                f"{self._url}/{what}", json=body, headers=headers, allow_redirects=False
            ) as response:
                return await read(response)
        except (ClientError, TimeoutError, ValueError) as error:
            # not its repr: an error of aiohttp's may hold the request, our key among its headers
            raise Retryable(f"the gateway's answer is unknown: {type(error).__name__} {error}") from error


async def _outcome(response: ClientResponse) -> ChargeOutcome:
    """Read an answer; a body that is not JSON or lacks what it must have is a ValueError."""
    if response.status not in {CREATED, PAYMENT_REQUIRED}:
        await _refuse(response)
    body = await response.json(content_type=None)
    name = "charge_id" if response.status == CREATED else "detail"
    match body:
        case {"charge_id": str(charge_id)} if response.status == CREATED:
            return Captured(_checked(charge_id))
        case {"detail": str(reason)} if response.status == PAYMENT_REQUIRED:
            return Declined(reason.replace("\0", "")[:LONGEST_REASON])
    raise ValueError(f"a {response.status} without {name}")


async def _refunded(response: ClientResponse) -> Refunded:
    """Read the answer to a refund, likewise."""
    if response.status != CREATED:
        await _refuse(response)
    match await response.json(content_type=None):
        case {"refund_id": str(refund_id)}:
            return Refunded(_checked(refund_id))
    raise ValueError(f"a {response.status} without refund_id")


def _checked(given: str) -> str:
    """Return the id of a movement of money, if it is one that can be recorded; else it is a ValueError."""
    if not given.isprintable() or not 0 < len(given) <= LONGEST_ID:
        raise ValueError(f"an id of {len(given)} characters, or with one that is not printable")
    return given


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
