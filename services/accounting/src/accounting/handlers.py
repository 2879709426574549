"""What accounting does with each event: it charges an order once, and gives back what was paid for nothing, once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from accounting.domain import (
    ChargeOutcome,
    ContradictionError,
    Declined,
    Dues,
    Payment,
    Refunded,
    invoice_number,
)
from accounting.gateway import Gateway
from accounting.store import Ledger
from contracts import (
    AllocationFailed,
    ChargePayment,
    Money,
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    RefundPayment,
    ReleaseReason,
    ShipmentCancelled,
    StockReleased,
    StockReserved,
)
from exactly_once import Processor, RejectRecord

processor = Processor("accounting")


@processor.handles(OrderPlaced)
def remember_dues(order: OrderPlaced, ledger: Ledger) -> ChargePayment | None:
    """Remember what the order owes; charge it if its stock is held already."""
    with contradictions_rejected():
        payment = ledger.payment(order.order_id, order.customer_id)
        dues = payment.learn_dues(Dues(order.total.amount_minor, order.total.currency, order.payment_token))
    return _charge_command(payment, dues)


@processor.handles(StockReserved)
def charge_reserved_order(reserved: StockReserved, ledger: Ledger) -> ChargePayment | None:
    """Charge the order if it is known what it owes; else remember the go-ahead."""
    with contradictions_rejected():
        payment = ledger.payment(reserved.order_id, reserved.customer_id)
    return _charge_command(payment, payment.learn_reservation())


@processor.handles(StockReleased)
def void_released(released: StockReleased, ledger: Ledger) -> RefundPayment | None:
    """Take no money for what is held no longer, or give it back. After a refusal there is none to speak of."""
    if released.reason is ReleaseReason.DECLINED:
        return None
    return _voided(released.order_id, released.customer_id, ledger)


@processor.handles(AllocationFailed)
def refund_unallocated(failed: AllocationFailed, ledger: Ledger) -> RefundPayment | None:
    """Give back what was paid for goods that are gone."""
    return _voided(failed.order_id, failed.customer_id, ledger)


@processor.handles(ShipmentCancelled)
def void_cancelled(cancelled: ShipmentCancelled, ledger: Ledger) -> RefundPayment | None:
    """Take no money for what will not be shipped, or give it back; while a charge's end is unknown, remember."""
    return _voided(cancelled.order_id, cancelled.customer_id, ledger)


@processor.calls(ChargePayment)
async def charge(command: ChargePayment, gateway: Gateway) -> ChargeOutcome:
    """Ask the gateway for the money."""
    return await gateway.charge(command)


@processor.handles(ChargePayment)
def record_charge(
    command: ChargePayment, ledger: Ledger, outcome: ChargeOutcome
) -> Sequence[PaymentCaptured | PaymentDeclined | RefundPayment]:
    """Record what the gateway decided and tell the others, once; refund what became void meanwhile."""
    charged = Dues(command.amount.amount_minor, command.amount.currency, command.payment_token)
    with contradictions_rejected():
        payment = ledger.payment(command.order_id, command.customer_id)
        is_news = payment.record(charged, outcome)
    if not is_news:
        return []
    refund = _refund_command(payment, payment.start_refunding())
    return [_verdict(command, outcome), *([refund] if refund else [])]


@processor.calls(RefundPayment)
async def refund(command: RefundPayment, gateway: Gateway) -> Refunded:
    """Ask the gateway to give the money back."""
    return await gateway.refund(command)


@processor.handles(RefundPayment)
def record_refund(command: RefundPayment, ledger: Ledger, outcome: Refunded) -> PaymentRefunded | None:
    """Record that the money is back, and tell it once."""
    with contradictions_rejected():
        is_news = ledger.payment(command.order_id, command.customer_id).record_refund(outcome)
    if not is_news:
        return None
    return PaymentRefunded(**command.model_dump(), refund_id=outcome.refund_id)


@contextmanager
def contradictions_rejected() -> Iterator[None]:
    """Make a dead letter of a record that contradicts what is known: a person must look."""
    try:
        yield
    except ContradictionError as error:
        raise RejectRecord(str(error)) from error


def _voided(order_id: UUID, customer_id: str, ledger: Ledger) -> RefundPayment | None:
    with contradictions_rejected():
        payment = ledger.payment(order_id, customer_id)
    payment.void()
    return _refund_command(payment, payment.start_refunding())


def _charge_command(payment: Payment, dues: Dues | None) -> ChargePayment | None:
    if dues is None:
        return None
    return ChargePayment(
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        amount=_money(dues),
        payment_token=dues.payment_token,
    )


def _refund_command(payment: Payment, dues: Dues | None) -> RefundPayment | None:
    if dues is None or payment.charge_id is None:
        return None
    return RefundPayment(
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        amount=_money(dues),
        charge_id=payment.charge_id,
    )


def _money(dues: Dues) -> Money:
    return Money(amount_minor=dues.amount_minor, currency=dues.currency)


def _verdict(command: ChargePayment, outcome: ChargeOutcome) -> PaymentCaptured | PaymentDeclined:
    order_id, customer_id = command.order_id, command.customer_id
    if isinstance(outcome, Declined):
        return PaymentDeclined(order_id=order_id, customer_id=customer_id, reason=outcome.reason)
    return PaymentCaptured(
        order_id=order_id,
        customer_id=customer_id,
        amount=command.amount,
        charge_id=outcome.charge_id,
        invoice_number=invoice_number(order_id),
    )
