"""The gateway's HTTP interface: charges for clients, the ledger for the operator."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, status
from sqlalchemy import Row

from chassis import Problem
from payment_gateway import store
from payment_gateway.access import OPERATOR_ONLY, Client
from payment_gateway.database import connection
from payment_gateway.domain import Answer, Plan, body_digest, plan_for
from payment_gateway.schemas import Amount, ChargeAnswer, ChargeRequest, Entry, IdempotencyKey, Page

router = APIRouter(prefix="/v1")

OTHER_ENDS: dict[int | str, dict[str, Any]] = {
    402: {"description": "declined; no money moved"},
    422: {"description": "the request is malformed, or its key stands for another charge"},
    503: {"description": "nothing happened; ask again under the same key"},
    504: {"description": "the outcome is unknown; ask again under the same key"},
}


@router.post("/charges", status_code=status.HTTP_201_CREATED, responses=OTHER_ENDS)
async def create_charge(
    request: Request, asked: ChargeRequest, client: Client, idempotency_key: IdempotencyKey
) -> ChargeAnswer:
    """Take the money, once a key: the same request under the same key gets the same answer."""
    plan = plan_for(asked.payment_token)
    async with connection(request) as lent:
        attempt = await store.charge(lent, _charge(client, idempotency_key, asked), plan.captures_on)
    answer = plan.answer(attempt.number, same_body=attempt.same_body)
    if answer is Answer.SILENCE:
        await _keep_quiet(request)
    if answer is not Answer.CAPTURED:
        raise _problem(answer, plan)
    return ChargeAnswer(charge_id=attempt.charge_id)


@router.get("/ledger", dependencies=[OPERATOR_ONLY])
async def read_ledger(
    request: Request,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page:
    """Return the entries behind `after`, oldest first; complete once no charge is under way."""
    async with connection(request) as lent:
        rows = await store.entries(lent, after, limit)
    return Page(entries=_entries(rows), next=rows[-1].seq if len(rows) == limit else None)


def _charge(client: str, key: str, asked: ChargeRequest) -> store.Charge:
    amount, currency = asked.amount.amount_minor, asked.amount.currency
    digest = body_digest(amount, currency, asked.payment_token, asked.reference)
    return store.Charge(client, key, digest, asked.reference, amount, currency)


def _entries(rows: Sequence[Row[Any]]) -> list[Entry]:
    return [
        Entry(amount=Amount(amount_minor=row.amount_minor, currency=row.currency), **row._mapping)  # noqa: SLF001  # SQLAlchemy's public name
        for row in rows
    ]


async def _keep_quiet(request: Request) -> None:
    """Answer nothing until the client hangs up, or for as long as the settings say."""
    with suppress(TimeoutError):
        async with asyncio.timeout(request.app.state.silence_s):
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _problem(answer: Answer, plan: Plan) -> Problem:
    match answer:
        case Answer.DECLINED:
            return Problem(402, "declined", plan.decline_reason or "declined")
        case Answer.CONFLICT:
            return Problem(422, "idempotency-key-reused", "This key stands for another charge.")
        case Answer.UNAVAILABLE:
            return Problem(503, "unavailable", "Nothing happened; ask again under the same key.")
    return Problem(504, "no-answer", "The outcome is unknown; ask again under the same key.")
