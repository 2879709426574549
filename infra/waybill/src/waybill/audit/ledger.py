"""Reads the payment gateway's own ledger over HTTP: the witness of the money."""

from typing import Any

from aiohttp import ClientError, ClientSession

from waybill.audit.shop import Entry
from waybill.errors import UsageError
from waybill.stack import Stack

PAGE = 1_000


async def read_ledger(stack: Stack) -> list[Entry]:
    """Return every entry. UsageError: the gateway does not answer."""
    headers = {"Authorization": f"Bearer {stack.secret('gateway-key-operator')}"}
    entries: list[Entry] = []
    after: int | None = 0
    try:
        async with ClientSession(headers=headers) as session:
            while after is not None:
                query = {"after": str(after), "limit": str(PAGE)}
                async with session.get(f"{stack.gateway_url}/v1/ledger", params=query) as answer:
                    answer.raise_for_status()
                    page = await answer.json()
                entries += map(_entry, page["entries"])
                after = page["next"] if page["entries"] else None
    except (ClientError, OSError, LookupError, ValueError) as error:
        raise UsageError(f"the payment gateway's ledger can't be read: {error}; see `waybill status`") from error
    return entries


def _entry(entry: dict[str, Any]) -> Entry:
    return Entry(
        order_id=entry["reference"],
        kind=entry["kind"],
        amount_minor=entry["amount"]["amount_minor"],
        currency=entry["amount"]["currency"],
        charge_id=entry["charge_id"],
        idempotency_key=entry["idempotency_key"],
        refund_id=entry["refund_id"] or "",
    )
