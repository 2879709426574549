"""Inventory holds, allocates, releases and ships; what is late or doubled changes nothing."""

from contracts import (
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    ReleaseReason,
    ShipmentDispatched,
    StockAllocated,
    StockLine,
    StockRejected,
    StockReleased,
    StockReserved,
)
from exactly_once import Processor, RejectRecord
from inventory.domain import Reservation, ReservationState
from inventory.store import Shelf

processor = Processor("inventory")


@processor.handles(OrderPlaced)
def reserve_stock(order: OrderPlaced, shelf: Shelf) -> StockReserved | StockRejected | None:
    """Hold everything the order asks for, or nothing."""
    if shelf.reservation(order.order_id) is not None:
        return None
    if not order.lines:
        raise RejectRecord("an order for nothing")
    if short := shelf.reserve(order):
        return StockRejected(order_id=order.order_id, customer_id=order.customer_id, short_skus=short)
    lines = [StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines]
    return StockReserved(order_id=order.order_id, customer_id=order.customer_id, lines=lines)


@processor.handles(PaymentCaptured)
def allocate_stock(payment: PaymentCaptured, shelf: Shelf) -> StockAllocated | None:
    """Give what is held to whoever paid for it."""
    reservation = _known(shelf.reservation(payment.order_id))
    if reservation.state in {ReservationState.ALLOCATED, ReservationState.SHIPPED}:
        return None
    if reservation.state is not ReservationState.HELD:
        raise RejectRecord(f"a payment for a reservation that is {reservation.state}")
    shelf.allocate(reservation)
    lines = [StockLine(sku=sku, quantity=units) for sku, units in reservation.lines.items()]
    return StockAllocated(order_id=payment.order_id, customer_id=payment.customer_id, lines=lines)


@processor.handles(PaymentDeclined)
def release_stock(refusal: PaymentDeclined, shelf: Shelf) -> StockReleased | None:
    """Put back what nobody paid for."""
    reservation = _known(shelf.reservation(refusal.order_id))
    if reservation.state is not ReservationState.HELD:
        return None
    shelf.release(reservation)
    return StockReleased(
        order_id=refusal.order_id,
        customer_id=refusal.customer_id,
        reason=ReleaseReason.DECLINED,
        lines=[StockLine(sku=sku, quantity=units) for sku, units in reservation.lines.items()],
    )


@processor.handles(ShipmentDispatched)
def ship_stock(shipment: ShipmentDispatched, shelf: Shelf) -> None:
    """Count what has left the house."""
    reservation = _known(shelf.reservation(shipment.order_id))
    if reservation.state is ReservationState.SHIPPED:
        return
    if reservation.state is not ReservationState.ALLOCATED:
        raise RejectRecord(f"a shipment of a reservation that is {reservation.state}")
    shelf.ship(reservation)


def _known(reservation: Reservation | None) -> Reservation:
    """Return the reservation: whatever follows one comes after it, so its lack is an anomaly."""
    if reservation is None:
        raise RejectRecord("there is no reservation of this order")
    return reservation
