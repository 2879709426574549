"""Fulfillment ships what is paid for, once."""

from contracts import ShipmentDispatched, StockAllocated
from exactly_once import Processor, RejectRecord
from fulfillment.domain import Shipment, shipment_id_of
from fulfillment.store import Shipments

processor = Processor("fulfillment")


@processor.handles(StockAllocated)
def ship_order(allocated: StockAllocated, shipments: Shipments) -> ShipmentDispatched | None:
    """Send one shipment; a second time of asking sends nothing."""
    if not allocated.lines:
        raise RejectRecord("an allocation of nothing")
    if shipments.has(allocated.order_id):
        return None
    lines = {line.sku: line.quantity for line in allocated.lines}
    shipment = Shipment(shipment_id_of(allocated.order_id), allocated.order_id, allocated.customer_id, lines)
    shipments.dispatch(shipment)
    return ShipmentDispatched(
        order_id=allocated.order_id,
        customer_id=allocated.customer_id,
        shipment_id=shipment.shipment_id,
        lines=allocated.lines,
    )
