from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.sweeping import Due
from contracts import ExpireReservation, Money, OrderLine, OrderPlaced
from inventory.domain import Reservation, ReservationState, Stock, expiry_id_of
from inventory.shelf import Shelf
from inventory.sweeps import expiry

pytestmark = pytest.mark.integration

PRICE = Money(amount_minor=100, currency="EUR")
MOST = 1_000


@pytest.fixture
async def sku(connection: asyncpg.Connection) -> str:
    """A product of which ten units are there."""
    sku = f"sku-{uuid4()}"
    await connection.execute("INSERT INTO stock VALUES ($1, 10, 10, 0, 0)", sku)
    return sku


def an_order(sku: str, units: int, order_id: UUID | None = None) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id or uuid4(),
        customer_id="anna",
        lines=[OrderLine(sku=sku, quantity=units, unit_price=PRICE)],
        total=PRICE.times(units),
        payment_token="tok_ok",
        placed_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


async def reserved(engine: AsyncEngine, *orders: OrderPlaced) -> None:
    async with engine.begin() as connection:
        shelf = await Shelf.load(connection, orders)
        for order in orders:
            shelf.reserve(order)
        await shelf.save(connection)


async def reread(engine: AsyncEngine, order: OrderPlaced) -> tuple[Reservation | None, Stock]:
    async with engine.begin() as connection:
        shelf = await Shelf.load(connection, [order])
        return shelf.reservation(order.order_id), shelf.stock_of(order.lines[0].sku)


async def test_a_reservation_is_kept_with_its_lines_and_its_units_are_held(engine: AsyncEngine, sku: str) -> None:
    order = an_order(sku, 4)
    await reserved(engine, order)
    held = Reservation(order.order_id, "anna", ReservationState.HELD, {sku: 4})
    assert await reread(engine, order) == (held, Stock(received=10, free=6, held=4))


async def test_orders_of_one_batch_share_what_is_there(engine: AsyncEngine, sku: str) -> None:
    orders = [an_order(sku, 4) for _ in range(3)]
    await reserved(engine, *orders)
    states = [(await reread(engine, order))[0] for order in orders]
    assert [each and each.state.value for each in states] == ["held", "held", "rejected"]
    assert (await reread(engine, orders[0]))[1] == Stock(received=10, free=2, held=8)


async def test_a_paid_reservation_ships_and_a_released_one_goes_back(engine: AsyncEngine, sku: str) -> None:
    shipped, released = an_order(sku, 4), an_order(sku, 3)
    await reserved(engine, shipped, released)
    for turn in (Shelf.allocate, Shelf.ship):
        async with engine.begin() as connection:
            shelf = await Shelf.load(connection, [shipped])
            turn(shelf, known(shelf, shipped))
            await shelf.save(connection)
    async with engine.begin() as connection:
        shelf = await Shelf.load(connection, [released])
        shelf.release(known(shelf, released))
        shelf.fail(known(shelf, released))
        await shelf.save(connection)
    found, stock = await reread(engine, released)
    assert found == Reservation(released.order_id, "anna", ReservationState.RELEASED, {sku: 3}, paid=True)
    assert stock == Stock(received=10, free=6, shipped=4)


def known(shelf: Shelf, order: OrderPlaced) -> Reservation:
    reservation = shelf.reservation(order.order_id)
    assert reservation is not None
    return reservation


async def test_a_cancellation_before_the_order_is_remembered(engine: AsyncEngine, sku: str) -> None:
    order = an_order(sku, 1)
    async with engine.begin() as connection:
        shelf = await Shelf.load(connection, [order])
        shelf.forestall(order.order_id, "anna")
        await shelf.save(connection)
    assert (await reread(engine, order))[0] == Reservation(order.order_id, "anna", ReservationState.CANCELLED, {})


async def test_the_table_refuses_a_unit_that_is_not_there(engine: AsyncEngine, sku: str) -> None:
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match="nothing_is_negative"):
            await connection.execute(text("UPDATE stock SET free = -1, held = 11 WHERE sku = :sku"), {"sku": sku})


async def swept(connection: AsyncConnection, ttl_s: float = 900.0, most: int = MOST) -> list[Due]:
    return list(await expiry(ttl_s)(connection, most))


async def aged(engine: AsyncEngine, orders: Iterable[OrderPlaced], seconds: int = 1_000) -> None:
    statement = "UPDATE reservations SET reserved_at = now() - make_interval(secs => :s) WHERE order_id = ANY(:ids)"
    async with engine.begin() as connection:
        await connection.execute(text(statement), {"s": seconds, "ids": [order.order_id for order in orders]})


async def test_what_is_due_is_told_once_under_its_own_event_id(engine: AsyncEngine, sku: str) -> None:
    due, fresh = an_order(sku, 1), an_order(sku, 1)
    await reserved(engine, due, fresh)
    await aged(engine, [due])
    async with engine.begin() as connection:
        (told,) = await swept(connection)
    command = ExpireReservation(order_id=due.order_id, customer_id="anna")
    assert told == Due(command, expiry_id_of(due.order_id), str(due.order_id))
    async with engine.begin() as connection:
        assert await swept(connection) == []


async def test_a_sweep_that_is_rolled_back_finds_the_same_again(engine: AsyncEngine, sku: str) -> None:
    order = an_order(sku, 1)
    await reserved(engine, order)
    await aged(engine, [order])
    async with engine.connect() as connection:
        first = await swept(connection)
        await connection.rollback()
    async with engine.begin() as connection:
        assert await swept(connection) == first != []


async def test_two_sweeps_at_once_share_what_is_due(engine: AsyncEngine, sku: str) -> None:
    orders = [an_order(sku, 1) for _ in range(4)]
    await reserved(engine, *orders)
    await aged(engine, orders)
    async with engine.begin() as one, engine.begin() as other:
        first, second = await swept(one, most=2), await swept(other, most=MOST)
    assert len(first) == len(second) == 2
    assert {each.event_id for each in [*first, *second]} == {expiry_id_of(order.order_id) for order in orders}


async def test_what_is_paid_for_or_gone_is_not_due(engine: AsyncEngine, sku: str) -> None:
    paid, gone = an_order(sku, 1), an_order(sku, 1)
    await reserved(engine, paid, gone)
    async with engine.begin() as connection:
        shelf = await Shelf.load(connection, [paid, gone])
        shelf.allocate(known(shelf, paid))
        shelf.release(known(shelf, gone))
        await shelf.save(connection)
    await aged(engine, [paid, gone])
    async with engine.begin() as connection:
        assert await swept(connection) == []
