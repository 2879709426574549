from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from accounting.domain import Captured, Declined, Dues, Payment, Refunded, State
from accounting.store import SELECT, Ledger
from contracts import ChargePayment, Money
from exactly_once import Event

pytestmark = pytest.mark.integration

DUES = Dues(1250, "EUR", "tok_ok")


def about(*order_ids: UUID) -> list[Event]:
    """Events that make a ledger load these orders."""
    nothing = Money(amount_minor=0, currency="EUR")
    return [ChargePayment(order_id=i, customer_id="anna", amount=nothing, payment_token="tok_ok") for i in order_ids]


async def reread(connection: AsyncConnection, order_id: UUID) -> Payment:
    return (await Ledger.load(connection, about(order_id))).payment(order_id, "anna")


async def test_payments_in_every_state_come_back_as_they_were_saved(engine: AsyncEngine) -> None:
    remembered, awaiting, charging, captured, declined = orders = [uuid4() for _ in range(5)]
    async with engine.begin() as connection:
        ledger = await Ledger.load(connection, about(*orders))
        ledger.payment(remembered, "anna").learn_reservation()
        for order_id in (awaiting, charging):
            ledger.payment(order_id, "anna").learn_dues(DUES)
        ledger.payment(charging, "anna").learn_reservation()
        ledger.payment(captured, "anna").record(DUES, Captured(f"ch_{captured}"))
        ledger.payment(declined, "anna").record(DUES, Declined("no funds"))
        await ledger.save(connection)
    async with engine.begin() as connection:
        again = await Ledger.load(connection, about(*orders))
        for order_id in orders:
            assert again.payment(order_id, "anna") == ledger.payment(order_id, "anna")
    assert again.payment(remembered, "anna").dues is None


async def test_void_and_refunded_payments_come_back_as_they_were_saved(engine: AsyncEngine) -> None:
    void, charging, refunding, refunded = orders = [uuid4() for _ in range(4)]
    async with engine.begin() as connection:
        ledger = await Ledger.load(connection, about(*orders))
        for order_id in orders:
            ledger.payment(order_id, "anna").void()
        for order_id in (refunding, refunded):
            payment = ledger.payment(order_id, "anna")
            payment.record(DUES, Captured(f"ch_{order_id}"))
            payment.start_refunding()
        ledger.payment(refunded, "anna").record_refund(Refunded(f"re_{refunded}"))
        ledger.payment(charging, "anna").state = State.CHARGING
        ledger.payment(charging, "anna").dues, ledger.payment(charging, "anna").reserved = DUES, True
        await ledger.save(connection)
    async with engine.begin() as connection:
        again = await Ledger.load(connection, about(*orders))
        for order_id in orders:
            assert again.payment(order_id, "anna") == ledger.payment(order_id, "anna")
    assert again.payment(void, "anna").state is State.AWAITING


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ("state = 'captured', voided = true", "what_is_void_is_not_kept"),
        ("state = 'refunding'", "only_what_is_void_goes_back"),
        ("state = 'refunded', voided = true", "a_refund_has_its_id"),
    ],
)
async def test_the_table_refuses_money_that_is_kept_or_given_back_wrongly(
    engine: AsyncEngine, columns: str, constraint: str
) -> None:
    order_id = uuid4()
    async with engine.connect() as connection:
        ledger = await Ledger.load(connection, about(order_id))
        ledger.payment(order_id, "anna").record(DUES, Captured(f"ch_{order_id}"))
        await ledger.save(connection)
        with pytest.raises(DBAPIError, match=constraint):
            await connection.execute(text(f"UPDATE payments SET {columns} WHERE order_id = :i"), {"i": order_id})  # noqa: S608  # our own text


async def test_a_reservation_is_remembered_until_its_order_comes(engine: AsyncEngine) -> None:
    order_id = uuid4()
    async with engine.begin() as connection:
        ledger = await Ledger.load(connection, about(order_id))
        ledger.payment(order_id, "anna").learn_reservation()
        await ledger.save(connection)
    async with engine.begin() as connection:
        ledger = await Ledger.load(connection, about(order_id))
        assert ledger.payment(order_id, "anna").learn_dues(DUES) == DUES
        await ledger.save(connection)
    async with engine.begin() as connection:
        assert (await reread(connection, order_id)).state is State.CHARGING


async def test_an_order_named_twice_in_a_batch_is_one_payment(engine: AsyncEngine) -> None:
    order_id = uuid4()
    async with engine.begin() as connection:
        ledger = await Ledger.load(connection, about(order_id, order_id))
        ledger.payment(order_id, "anna").learn_dues(DUES)
        assert ledger.payment(order_id, "anna").learn_reservation() == DUES
        await ledger.save(connection)
        count = text("SELECT count(*) FROM payments WHERE order_id = :order_id")
        assert await connection.scalar(count, {"order_id": order_id}) == 1


async def test_a_ledger_that_nobody_asked_writes_nothing(engine: AsyncEngine) -> None:
    order_id = uuid4()
    async with engine.begin() as connection:
        await (await Ledger.load(connection, about(order_id))).save(connection)
        assert (await connection.execute(SELECT, {"order_ids": [order_id]})).all() == []


async def test_loaded_payments_are_locked_until_the_transaction_ends(engine: AsyncEngine) -> None:
    order_id = uuid4()
    async with engine.begin() as connection:
        ledger = await Ledger.load(connection, about(order_id))
        ledger.payment(order_id, "anna").learn_dues(DUES)
        await ledger.save(connection)
    async with engine.begin() as first, engine.begin() as second:
        await Ledger.load(first, about(order_id))
        await second.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            await Ledger.load(second, about(order_id))
        await second.rollback()


async def test_the_table_refuses_a_capture_without_charge_and_invoice(engine: AsyncEngine) -> None:
    bad = text(
        "INSERT INTO payments (order_id, customer_id, state, reserved, amount_minor, currency, payment_token) "
        "VALUES (gen_random_uuid(), 'anna', 'captured', true, 1, 'EUR', 'tok_ok')"
    )
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match="a_capture_has_its"):
            await connection.execute(bad)


async def test_two_orders_cannot_share_a_charge(engine: AsyncEngine) -> None:
    first, second = uuid4(), uuid4()
    async with engine.connect() as connection:
        ledger = await Ledger.load(connection, about(first, second))
        for order_id in (first, second):
            ledger.payment(order_id, "anna").record(DUES, Captured("ch_same"))
        with pytest.raises(DBAPIError, match="one_payment_a_charge"):
            await ledger.save(connection)
