"""The gateway's HTTP interface: charges and refunds for clients, the ledger for the operator."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, status
from sqlalchemy import Row

from chassis import Problem
from chassis.problem_types import ASKING, CHANGING, refusals
from payment_gateway import store
from payment_gateway.access import OPERATOR_ONLY, Client
from payment_gateway.database import connection
from payment_gateway.domain import Answer, body_digest, plan_for
from payment_gateway.problem_types import OWN
from payment_gateway.schemas import (
    Amount,
    ChargeAnswer,
    ChargeRequest,
    Entry,
    IdempotencyKey,
    Page,
    RefundAnswer,
    RefundRequest,
)

router = APIRouter(prefix="/v1")

ONCE = (*CHANGING, "idempotency-key-missing", "idempotency-key-reused", "no-answer")
CHARGING = refusals(*ONCE, "declined", own=OWN)
REFUNDING = refusals(*ONCE, "no-such-charge", "not-the-charge", own=OWN)


@router.post("/charges", status_code=status.HTTP_201_CREATED, responses=CHARGING)
async def create_charge(
    request: Request, asked: ChargeRequest, client: Client, idempotency_key: IdempotencyKey
) -> ChargeAnswer:
    """Take the money, once a key: the same request under the same key gets the same answer."""
    plan = plan_for(asked.payment_token)
    async with connection(request) as lent:
        attempt = await store.charge(lent, _charge(client, idempotency_key, asked), plan.charge.moves_on)
    answer = plan.charge.answer(attempt.number, same_body=attempt.same_body)
    await _end(request, answer, plan.decline_reason)
    return ChargeAnswer(charge_id=attempt.made)


@router.post("/refunds", status_code=status.HTTP_201_CREATED, responses=REFUNDING)
async def create_refund(
    request: Request, asked: RefundRequest, client: Client, idempotency_key: IdempotencyKey
) -> RefundAnswer:
    """Give a whole charge back, once a charge: the same request under the same key gets the same answer."""
    async with connection(request) as lent:
        charge = await store.captured(lent, client, asked.charge_id)
        if charge is None:
            raise Problem(404, "no-such-charge", f"There is no charge {asked.charge_id} of yours.")
        if asked.amount != Amount(amount_minor=charge.amount_minor, currency=charge.currency):
            raise Problem(422, "not-the-charge", "A refund gives back exactly what was charged.")
        course = plan_for(charge.payment_token or "").refund
        attempt = await store.refund(lent, _refund(client, idempotency_key, asked), course.moves_on)
    await _end(request, course.answer(attempt.number, same_body=attempt.same_body))
    return RefundAnswer(refund_id=attempt.made, charge_id=asked.charge_id)


@router.get("/ledger", dependencies=[OPERATOR_ONLY], responses=refusals(*ASKING))
async def read_ledger(
    request: Request,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page:
    """Return the entries behind `after`, oldest first; complete once no request is under way."""
    async with connection(request) as lent:
        rows = await store.entries(lent, after, limit)
    return Page(entries=_entries(rows), next=rows[-1].seq if len(rows) == limit else None)


def _charge(client: str, key: str, asked: ChargeRequest) -> store.Charge:
    amount, currency = asked.amount.amount_minor, asked.amount.currency
    digest = body_digest(amount, currency, asked.payment_token, asked.reference)
    return store.Charge(client, key, digest, asked.reference, amount, currency, asked.payment_token)


def _refund(client: str, key: str, asked: RefundRequest) -> store.Refund:
    amount, currency = asked.amount.amount_minor, asked.amount.currency
    digest = body_digest(amount, currency, asked.charge_id, asked.reference)
    return store.Refund(client, key, digest, asked.reference, amount, currency, asked.charge_id)


def _entries(rows: Sequence[Row[Any]]) -> list[Entry]:
    return [
        Entry(amount=Amount(amount_minor=row.amount_minor, currency=row.currency), **row._mapping)  # noqa: SLF001  # SQLAlchemy's public name
        for row in rows
    ]


async def _end(request: Request, answer: Answer, decline_reason: str = "") -> None:
    """Return where the money moved and the client may know it. Problem: it did not, or nobody shall hear of it."""
    if answer is Answer.SILENCE:
        await _keep_quiet(request)
    if answer is not Answer.MOVED:
        raise _problem(answer, decline_reason)


async def _keep_quiet(request: Request) -> None:
    """Answer nothing until the client hangs up, or for as long as the settings say."""
    with suppress(TimeoutError):
        async with asyncio.timeout(request.app.state.silence_s):
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _problem(answer: Answer, decline_reason: str) -> Problem:
    match answer:
        case Answer.DECLINED:
            return Problem(402, "declined", decline_reason)
        case Answer.CONFLICT:
            return Problem(422, "idempotency-key-reused", "This key, or this charge, stands for another request.")
        case Answer.UNAVAILABLE:
            return Problem(503, "unavailable", "Nothing happened; ask again under the same key.")
    return Problem(504, "no-answer", "The outcome is unknown; ask again under the same key.")
