"""Checkout projects what happened to each order, and keeps its prices."""

from checkout.domain import Cancellation
from checkout.statuses import Statuses
from checkout.store import PriceList
from contracts import (
    CancellationRefused,
    OrderStatus,
    OrderStatusChanged,
    PaymentCaptured,
    ProductListed,
    ShipmentCancelled,
    ShipmentDispatched,
    StockRejected,
    StockReleased,
    StockReserved,
)
from exactly_once import Processor

processor = Processor("checkout")


@processor.handles(StockReserved)
def note_reserved(event: StockReserved, statuses: Statuses) -> OrderStatusChanged | None:
    """Note that the goods are held."""
    return statuses.advance(event.order_id, event.customer_id, OrderStatus.RESERVED)


@processor.handles(StockRejected)
def note_rejected(event: StockRejected, statuses: Statuses) -> OrderStatusChanged | None:
    """Note that the goods are not there: the end."""
    return statuses.advance(event.order_id, event.customer_id, OrderStatus.REJECTED)


@processor.handles(StockReleased)
def note_released(event: StockReleased, statuses: Statuses) -> OrderStatusChanged | None:
    """Note that the goods are free again: the end, for the reason that the release names."""
    return statuses.advance(event.order_id, event.customer_id, OrderStatus(event.reason.value))


@processor.handles(PaymentCaptured)
def note_paid(event: PaymentCaptured, statuses: Statuses) -> OrderStatusChanged | None:
    """Note that the money is ours."""
    return statuses.advance(event.order_id, event.customer_id, OrderStatus.PAID)


@processor.handles(ShipmentDispatched)
def note_shipped(event: ShipmentDispatched, statuses: Statuses) -> OrderStatusChanged | None:
    """Note that the goods are on their way: the end."""
    return statuses.advance(event.order_id, event.customer_id, OrderStatus.SHIPPED)


@processor.handles(ShipmentCancelled)
def note_cancelled(event: ShipmentCancelled, statuses: Statuses) -> OrderStatusChanged | None:
    """Note that the cancellation came in time: the end."""
    return statuses.answer(event.order_id, event.customer_id, Cancellation.GRANTED)


@processor.handles(CancellationRefused)
def note_refused(event: CancellationRefused, statuses: Statuses) -> OrderStatusChanged | None:
    """Note that the cancellation came too late: the order ends as it would have without."""
    return statuses.answer(event.order_id, event.customer_id, Cancellation.REFUSED)


@processor.handles(ProductListed)
def take_price(product: ProductListed, prices: PriceList) -> None:
    """Keep a product's price."""
    prices.take(product)
