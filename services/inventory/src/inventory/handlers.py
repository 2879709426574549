"""Inventory holds, allocates, releases and ships; what is late or doubled changes nothing."""

from uuid import UUID

from contracts import (
    AllocationFailed,
    ExpireReservation,
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    ReleaseReason,
    ShipmentCancelled,
    ShipmentDispatched,
    StockAllocated,
    StockLine,
    StockRejected,
    StockReleased,
    StockReserved,
)
from exactly_once import Processor, RejectRecord
from inventory.domain import Reservation, ReservationState
from inventory.shelf import Shelf

processor = Processor("inventory")


@processor.handles(OrderPlaced)
def reserve_stock(order: OrderPlaced, shelf: Shelf) -> StockReserved | StockRejected | None:
    """Hold everything the order asks for, or nothing; nothing too where it was cancelled before."""
    if shelf.reservation(order.order_id) is not None:
        return None
    if not order.lines:
        raise RejectRecord("an order for nothing")
    if short := shelf.reserve(order):
        return StockRejected(order_id=order.order_id, customer_id=order.customer_id, short_skus=short)
    lines = [StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines]
    return StockReserved(order_id=order.order_id, customer_id=order.customer_id, lines=lines)


@processor.handles(PaymentCaptured)
def allocate_stock(payment: PaymentCaptured, shelf: Shelf) -> StockAllocated | AllocationFailed | None:
    """Give what is held to whoever paid for it; say so where it is held no longer. Once a payment."""
    reservation = _known(shelf, payment.order_id)
    if reservation.paid:
        return None
    if reservation.state is ReservationState.HELD:
        shelf.allocate(reservation)
        return StockAllocated(
            order_id=payment.order_id, customer_id=payment.customer_id, lines=_stock_lines(reservation)
        )
    if reservation.state is not ReservationState.RELEASED:
        raise RejectRecord(f"a payment for a reservation that is {reservation.state}")
    shelf.fail(reservation)
    return AllocationFailed(order_id=payment.order_id, customer_id=payment.customer_id)


@processor.handles(PaymentDeclined)
def release_declined(refusal: PaymentDeclined, shelf: Shelf) -> StockReleased | None:
    """Put back what nobody paid for."""
    reservation = _known(shelf, refusal.order_id)
    if reservation.state is not ReservationState.HELD:
        return None
    return _released(shelf, reservation, ReleaseReason.DECLINED)


@processor.handles(ExpireReservation)
def release_expired(command: ExpireReservation, shelf: Shelf) -> StockReleased | None:
    """Put back what was held for too long, unless it was paid for or released meanwhile."""
    reservation = _known(shelf, command.order_id)
    if reservation.state is not ReservationState.HELD:
        return None
    return _released(shelf, reservation, ReleaseReason.EXPIRED)


@processor.handles(ShipmentCancelled)
def release_cancelled(cancelled: ShipmentCancelled, shelf: Shelf) -> StockReleased | None:
    """Put back what is held, paid for or not; remember a cancellation that overtook its order."""
    reservation = shelf.reservation(cancelled.order_id)
    if reservation is None:
        shelf.forestall(cancelled.order_id, cancelled.customer_id)
        return None
    if reservation.state is ReservationState.SHIPPED:
        raise RejectRecord("the cancellation of a shipment that left")
    return _released(shelf, reservation, ReleaseReason.CANCELLED) if reservation.is_held else None


@processor.handles(ShipmentDispatched)
def ship_stock(shipment: ShipmentDispatched, shelf: Shelf) -> None:
    """Count what has left the house."""
    reservation = _known(shelf, shipment.order_id)
    if reservation.state is ReservationState.SHIPPED:
        return
    if reservation.state is not ReservationState.ALLOCATED:
        raise RejectRecord(f"a shipment of a reservation that is {reservation.state}")
    shelf.ship(reservation)


def _known(shelf: Shelf, order_id: UUID) -> Reservation:
    """Return the reservation: whatever follows one comes after it, so its lack is an anomaly."""
    reservation = shelf.reservation(order_id)
    if reservation is None:
        raise RejectRecord("there is no reservation of this order")
    return reservation


def _released(shelf: Shelf, reservation: Reservation, reason: ReleaseReason) -> StockReleased:
    shelf.release(reservation)
    return StockReleased(
        order_id=reservation.order_id,
        customer_id=reservation.customer_id,
        reason=reason,
        lines=_stock_lines(reservation),
    )


def _stock_lines(reservation: Reservation) -> list[StockLine]:
    return [StockLine(sku=sku, quantity=units) for sku, units in reservation.lines.items()]
