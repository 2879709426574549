"""What the commands that end in an audit share: handing over the answers, printing the report."""

from collections.abc import Iterable

from rich.console import Console

from waybill.audit.databases import snapshot
from waybill.audit.report import Report, render
from waybill.audit.shop import Answer as Witnessed
from waybill.customers import Answer
from waybill.stack import Stack


def answers_of(answers: Iterable[Answer]) -> list[Witnessed]:
    """Return the answers that promised an order, as the audit takes them."""
    return [
        Witnessed(customer_id=answer.customer_id, idempotency_key=answer.key, order_id=answer.order_id)
        for answer in answers
        if answer.accepted and answer.order_id is not None
    ]


def print_report(report: Report) -> None:
    """Print an audit's report."""
    render(report, Console(soft_wrap=True))


async def captured_minor(stack: Stack, order_ids: Iterable[str]) -> int:
    """Return what accounting has captured for these orders, in minor units. UsageError: its database can't be read."""
    query = "SELECT sum(amount_minor) FROM payments WHERE state = 'captured' AND order_id = ANY($1::uuid[])"
    async with snapshot(stack, "accounting") as connection:
        return int(await connection.fetchval(query, list(order_ids)) or 0)
