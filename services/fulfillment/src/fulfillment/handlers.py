"""Fulfillment ships what is paid for, once, and alone decides whether a cancellation comes in time."""

from contracts import CancellationRefused, OrderCancelled, ShipmentCancelled, ShipmentDispatched, StockAllocated
from exactly_once import Processor, RejectRecord
from fulfillment.domain import Answer
from fulfillment.store import Shipments

processor = Processor("fulfillment")


@processor.handles(StockAllocated)
def ship_order(allocated: StockAllocated, shipments: Shipments) -> ShipmentDispatched | None:
    """Send one shipment, unless the order was cancelled; a second time of asking sends nothing."""
    if not allocated.lines:
        raise RejectRecord("an allocation of nothing")
    lines = {line.sku: line.quantity for line in allocated.lines}
    shipment = shipments.dispatch(allocated.order_id, allocated.customer_id, lines)
    if shipment is None:
        return None
    return ShipmentDispatched(
        order_id=allocated.order_id,
        customer_id=allocated.customer_id,
        shipment_id=shipment.shipment_id,
        lines=allocated.lines,
    )


@processor.handles(OrderCancelled)
def decide_cancellation(asked: OrderCancelled, shipments: Shipments) -> ShipmentCancelled | CancellationRefused | None:
    """Grant a cancellation that comes before the parcel leaves, and remember it; refuse a later one."""
    answer = shipments.cancel(asked.order_id, asked.customer_id)
    if answer is None:
        return None
    told = ShipmentCancelled if answer is Answer.GRANTED else CancellationRefused
    return told(order_id=asked.order_id, customer_id=asked.customer_id)
