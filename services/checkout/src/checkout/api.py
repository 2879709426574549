"""Checkout's HTTP interface: place an order, cancel it; reads.py shows it."""

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.fields import Sku, WholeNumber
from chassis.limiting import CountedCustomer
from chassis.problem_types import CHANGING, POSTING, refusals
from chassis.problems import Problem, unavailable
from chassis.publishing import Publication, ThePublisher, publisher_of
from checkout import store
from checkout.domain import MixedCurrenciesError, TotalTooLargeError, UnknownSkusError, priced, total_of
from checkout.prices import RememberedPrices
from checkout.problem_types import OWN
from checkout.reads import OrderAnswer, answered, not_found
from contracts import Money, OrderCancelled, OrderPlaced

ATTEMPTS = 3  # at an order whose prices change while it is placed

router = APIRouter(prefix="/v1/orders", tags=["orders"])

Key = Annotated[
    str, Header(min_length=1, max_length=255, description="Names this request; a repetition gets its answer")
]


class LineRequest(BaseModel, extra="forbid"):  # fields in the order of their names: see `body_digest`
    """So many of a product."""

    quantity: WholeNumber = Field(ge=1, le=1_000)
    sku: Sku


class OrderRequest(BaseModel, extra="forbid"):
    """What a customer wants, and the token that pays for it."""

    lines: list[LineRequest] = Field(min_length=1, max_length=100)
    payment_token: str = Field(max_length=200, pattern=r"^[\x21-\x7e]+$")  # what the gateway takes


def body_digest(asked: OrderRequest) -> bytes:
    """Return a digest that is equal for requests that mean the same, however their JSON is written.

    It outlives this process: fields are declared, and so written, in the order of their names, as older versions did.
    """
    return sha256(asked.model_dump_json(ensure_ascii=True).encode()).digest()


class CancellationAnswer(BaseModel):
    """A cancellation that was accepted; fulfillment decides it, and the order's status tells how."""

    order_id: UUID
    cancellation: str
    links: dict[str, str]


PLACING = refusals(
    *CHANGING,
    "idempotency-key-missing",
    "idempotency-key-reused",
    "in-flight",
    "unknown-sku",
    "mixed-currencies",
    "total-too-large",
    "too-large",
    "too-many-requests",
    own=OWN,
)
CANCELLING = refusals(*POSTING, "order-not-found", "order-ended", "in-flight", "too-many-requests", own=OWN)


@router.post("", status_code=HTTPStatus.ACCEPTED, response_model=OrderAnswer, responses=PLACING)
async def place_order(
    request: Request, asked: OrderRequest, customer: CountedCustomer, idempotency_key: Key
) -> Response:
    """Accept an order: once a key, however often it is sent."""
    claim = store.Claim(customer.subject, idempotency_key, body_digest(asked), uuid4())
    headers = dict[str, str]()
    prices: RememberedPrices = request.app.state.prices  # no dependency, nor is the publisher: each costs some 20 µs
    async with publisher_of(request).statements() as publication:
        answer = await _placed(publication, prices, asked, claim)
        if answer is None:
            answer = await _repeated(publication.connection, claim)
            headers["Idempotency-Replayed"] = "true"
    headers["Location"] = answer.links["self"]
    return Response(answer.model_dump_json(), HTTPStatus.ACCEPTED, headers, "application/json")


@router.post("/{order_id}/cancellation", status_code=HTTPStatus.ACCEPTED, responses=CANCELLING)
async def cancel_order(
    order_id: UUID, customer: CountedCustomer, publisher: ThePublisher, response: Response
) -> CancellationAnswer:
    """Accept a cancellation while the order has not ended; once an order, however often it is sent."""
    async with publisher.publication() as publication:
        found = await store.stand(publication.connection, order_id)
        if found is None or found[0].customer_id != customer.subject:
            raise not_found(order_id)
        _, progress = found
        before = progress.cancellation
        if not progress.ask():
            detail = f"the order has ended: it is {progress.status}"
            raise Problem(HTTPStatus.CONFLICT, "order-ended", detail, order_status=progress.status)
        if before is None:
            await store.ask_to_cancel(publication.connection, order_id)
            asked = OrderCancelled(order_id=order_id, customer_id=customer.subject, asked_at=dt.datetime.now(dt.UTC))
            await publication.tell(asked, correlation_id=str(order_id))
    links = {"order": f"/v1/orders/{order_id}"}
    response.headers["Location"] = links["order"]
    return CancellationAnswer(order_id=order_id, cancellation="asked", links=links)


async def _placed(
    publication: Publication, prices: RememberedPrices, asked: OrderRequest, claim: store.Claim
) -> OrderAnswer | None:
    """Place an order; None: its key stands for another request, or for this one sent before."""
    for _ in range(ATTEMPTS):
        order = await _priced(publication.connection, prices, asked, claim)
        if order is None:
            return None
        told = publication.row_of(order, correlation_id=str(order.order_id))
        placing = await store.place(publication.connection, claim, order, told)
        if placing is not store.Placing.PRICES_HAVE_MOVED:
            return answered(order.order_id, "placed", order.total) if placing is store.Placing.DONE else None
        prices.forget({line.sku for line in order.lines})
    raise unavailable("the prices change just now; try again in a moment")


async def _priced(
    connection: AsyncConnection, prices: RememberedPrices, asked: OrderRequest, claim: store.Claim
) -> OrderPlaced | None:
    """Return the order at remembered prices, or at the products'; None: its key is taken.

    A refusal needs the products' own prices, and first of all a key that is free.
    """
    skus = {line.sku for line in asked.lines}
    with suppress(Problem):
        return _decide(asked, claim, prices.of(skus))
    quoted = await store.quote(connection, claim, skus)
    if quoted is None:
        return None
    prices.learn(quoted)
    return _decide(asked, claim, quoted)


def _decide(asked: OrderRequest, claim: store.Claim, prices: Mapping[str, Money]) -> OrderPlaced:
    try:
        lines = priced([(line.sku, line.quantity) for line in asked.lines], prices)
        total = total_of(lines)
    except UnknownSkusError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-sku", str(error), skus=error.skus) from error
    except MixedCurrenciesError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "mixed-currencies", str(error)) from error
    except TotalTooLargeError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "total-too-large", str(error)) from error
    return OrderPlaced(
        order_id=claim.order_id,
        customer_id=claim.customer_id,
        lines=lines,
        total=total,
        payment_token=asked.payment_token,
        placed_at=dt.datetime.now(dt.UTC),
    )


async def _repeated(connection: AsyncConnection, claim: store.Claim) -> OrderAnswer:
    """Return the answer that this key had. Problem 422: it stands for another request."""
    first = await store.claimed(connection, claim.customer_id, claim.key)
    if first is None:
        raise Problem(HTTPStatus.CONFLICT, "in-flight", "the first request with this key has not ended")
    if first.body_digest != claim.body_digest:
        detail = "this Idempotency-Key stands for another request"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail)
    total = Money(amount_minor=first.order.total_minor, currency=first.order.currency)
    return answered(first.order.order_id, "placed", total)
