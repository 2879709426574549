"""The working set of payments: one query under lock to read it, one statement to write it."""

from collections.abc import Iterable, Sequence
from typing import Any, Self, cast
from uuid import UUID

from sqlalchemy import ARRAY, Row, Select, Table, Uuid, any_, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from accounting.domain import ContradictionError, Dues, Payment, State
from accounting.models import PaymentRow
from exactly_once import Event

payments = cast("Table", PaymentRow.__table__)  # type: ignore[attr-defined]  # SQLModel does not declare it


def _select_statement() -> Select[Any]:
    asked = bindparam("order_ids", type_=ARRAY(Uuid))
    rows = select(payments).where(payments.c.order_id == any_(asked))
    return rows.order_by(payments.c.order_id).with_for_update()


def _upsert_statement() -> Insert:
    """One array a column. Only the owner of a customer's partition comes here, so the last writer is right."""
    arrays = (bindparam(c.name, type_=ARRAY(c.type)) for c in payments.c)
    rows = (
        func.unnest(*arrays)
        .table_valued(*(column(c.name, c.type) for c in payments.c), name="changed")
        .render_derived()
    )
    fresh = insert(payments).from_select([c.name for c in payments.c], select(rows))
    changes = {c.name: fresh.excluded[c.name] for c in payments.c if not c.primary_key}
    return fresh.on_conflict_do_update(index_elements=[payments.c.order_id], set_=changes)


SELECT, UPSERT = _select_statement(), _upsert_statement()


class Ledger:
    """The payments that a batch may touch, as they were and as its handlers leave them."""

    def __init__(self, known: Iterable[Payment] = ()) -> None:
        self._payments = {payment.order_id: payment for payment in known}
        self._touched: dict[UUID, Payment] = {}

    @classmethod
    async def load(cls, connection: AsyncConnection, events: Sequence[Event]) -> Self:
        """Read and lock the payments of these events' orders."""
        order_ids = {getattr(event, "order_id") for event in events}  # noqa: B009  # every event handled here has one
        rows = await connection.execute(SELECT, {"order_ids": sorted(order_ids)})
        return cls(map(_payment, rows))

    async def save(self, connection: AsyncConnection) -> None:
        """Write every payment that a handler asked for."""
        if self._touched:
            rows = zip(*map(_values, self._touched.values()), strict=True)
            await connection.execute(UPSERT, dict(zip(payments.c.keys(), map(list, rows), strict=True)))

    def payment(self, order_id: UUID, customer_id: str) -> Payment:
        """Return the order's payment, from now on to be saved; a new one if there was none."""
        payment = self._payments.setdefault(order_id, Payment(order_id, customer_id))
        if payment.customer_id != customer_id:
            raise ContradictionError(f"order {order_id} belongs to another customer")
        self._touched[order_id] = payment
        return payment


def _payment(row: Row[Any]) -> Payment:
    is_placed = row.amount_minor is not None
    return Payment(
        order_id=row.order_id,
        customer_id=row.customer_id,
        state=State(row.state),
        dues=Dues(row.amount_minor, row.currency, row.payment_token) if is_placed else None,
        reserved=row.reserved,
        charge_id=row.charge_id,
        invoice_number=row.invoice_number,
        decline_reason=row.decline_reason,
        voided=row.voided,
        refund_id=row.refund_id,
    )


def _values(payment: Payment) -> tuple[Any, ...]:
    """Return the payment's column values, in the table's order."""
    dues = payment.dues
    return (
        payment.order_id,
        payment.customer_id,
        payment.state,
        payment.reserved,
        dues and dues.amount_minor,
        dues and dues.currency,
        dues and dues.payment_token,
        payment.charge_id,
        payment.invoice_number,
        payment.decline_reason,
        payment.voided,
        payment.refund_id,
    )
