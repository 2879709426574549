"""Every event of the shop, and every command that a service gives itself."""

from uuid import UUID

from contracts.fields import (
    CustomerId,
    Instant,
    Label,
    OrderLine,
    OrderStatus,
    Reason,
    ReleaseReason,
    Sku,
    StockLine,
)
from contracts.money import Money
from exactly_once import Event


class OrderPlaced(Event, topic="orders", key="customer_id"):
    """A customer ordered; checkout accepted it at these prices."""

    order_id: UUID
    customer_id: CustomerId
    lines: list[OrderLine]
    total: Money
    payment_token: Label
    placed_at: Instant


class OrderCancelled(Event, topic="orders", key="customer_id"):
    """The customer asked to cancel, and checkout passed it on; fulfillment decides."""

    order_id: UUID
    customer_id: CustomerId
    asked_at: Instant


class StockReserved(Event, topic="orders.stock", key="customer_id"):
    """Every line of the order is held."""

    order_id: UUID
    customer_id: CustomerId
    lines: list[StockLine]


class StockRejected(Event, topic="orders.stock", key="customer_id"):
    """Nothing is held, since these products are short. The order ends here."""

    order_id: UUID
    customer_id: CustomerId
    short_skus: list[Sku]


class StockAllocated(Event, topic="orders.stock", key="customer_id"):
    """What was held is paid for and may be shipped."""

    order_id: UUID
    customer_id: CustomerId
    lines: list[StockLine]


class AllocationFailed(Event, topic="orders.stock", key="customer_id"):
    """The payment came, but nothing is held for it any more: the money must go back."""

    order_id: UUID
    customer_id: CustomerId


class StockReleased(Event, topic="orders.stock", key="customer_id"):
    """What was held went back to the shelf. The order ends here."""

    order_id: UUID
    customer_id: CustomerId
    reason: ReleaseReason
    lines: list[StockLine]


class PaymentCaptured(Event, topic="orders.billing", key="customer_id"):
    """The gateway charged the amount; the invoice has this number."""

    order_id: UUID
    customer_id: CustomerId
    amount: Money
    charge_id: Label
    invoice_number: Label


class PaymentDeclined(Event, topic="orders.billing", key="customer_id"):
    """The gateway refused the charge."""

    order_id: UUID
    customer_id: CustomerId
    reason: Reason


class PaymentRefunded(Event, topic="orders.billing", key="customer_id"):
    """The whole charge went back to the customer."""

    order_id: UUID
    customer_id: CustomerId
    amount: Money
    charge_id: Label
    refund_id: Label


class ShipmentDispatched(Event, topic="orders.shipping", key="customer_id"):
    """The parcel left. The order ends here."""

    order_id: UUID
    customer_id: CustomerId
    shipment_id: UUID
    lines: list[StockLine]


class ShipmentCancelled(Event, topic="orders.shipping", key="customer_id"):
    """The cancellation came in time: nothing has left, and nothing will. The order ends here."""

    order_id: UUID
    customer_id: CustomerId


class CancellationRefused(Event, topic="orders.shipping", key="customer_id"):
    """The cancellation came too late: the parcel had left."""

    order_id: UUID
    customer_id: CustomerId


class OrderStatusChanged(Event, topic="orders.status", key="order_id"):
    """Where the order is now; the latest one an order is kept."""

    order_id: UUID
    customer_id: CustomerId
    status: OrderStatus


class ProductListed(Event, topic="products", key="sku"):
    """A product can be ordered at this price; the latest one a product is kept."""

    sku: Sku
    name: Label
    unit_price: Money


class ChargePayment(Event, topic="accounting.commands", key="customer_id"):
    """Accounting tells itself to charge the gateway, with the order's id as the idempotency key."""

    order_id: UUID
    customer_id: CustomerId
    amount: Money
    payment_token: Label


class RefundPayment(Event, topic="accounting.commands", key="customer_id"):
    """Accounting tells itself to give a whole charge back, with `<order id>:refund` as the idempotency key."""

    order_id: UUID
    customer_id: CustomerId
    amount: Money
    charge_id: Label


class ExpireReservation(Event, topic="inventory.commands", key="customer_id"):
    """Inventory tells itself that a reservation has been held long enough."""

    order_id: UUID
    customer_id: CustomerId


EVENTS: tuple[type[Event], ...] = (
    OrderPlaced,
    OrderCancelled,
    StockReserved,
    StockRejected,
    StockAllocated,
    AllocationFailed,
    StockReleased,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    ShipmentDispatched,
    ShipmentCancelled,
    CancellationRefused,
    OrderStatusChanged,
    ProductListed,
    ChargePayment,
    RefundPayment,
    ExpireReservation,
)
