"""What accounting does with each event: it charges an order once both its amount and the go-ahead are known."""

from collections.abc import Iterator
from contextlib import contextmanager

from accounting.domain import ChargeOutcome, ContradictionError, Declined, Dues, Payment, invoice_number
from accounting.gateway import Gateway
from accounting.store import Ledger
from contracts import ChargePayment, Money, OrderPlaced, PaymentCaptured, PaymentDeclined, StockReserved
from exactly_once import Processor, RejectRecord

processor = Processor("accounting")


@processor.handles(OrderPlaced)
def remember_dues(order: OrderPlaced, ledger: Ledger) -> ChargePayment | None:
    """Remember what the order owes; charge it if its stock is held already."""
    with contradictions_rejected():
        payment = ledger.payment(order.order_id, order.customer_id)
        dues = payment.learn_dues(Dues(order.total.amount_minor, order.total.currency, order.payment_token))
    return _command(payment, dues)


@processor.handles(StockReserved)
def charge_reserved_order(reserved: StockReserved, ledger: Ledger) -> ChargePayment | None:
    """Charge the order if it is known what it owes; else remember the go-ahead."""
    with contradictions_rejected():
        payment = ledger.payment(reserved.order_id, reserved.customer_id)
    return _command(payment, payment.learn_reservation())


@processor.calls(ChargePayment)
async def charge(command: ChargePayment, gateway: Gateway) -> ChargeOutcome:
    """Ask the gateway for the money."""
    return await gateway.charge(command)


@processor.handles(ChargePayment)
def record_charge(
    command: ChargePayment, ledger: Ledger, outcome: ChargeOutcome
) -> PaymentCaptured | PaymentDeclined | None:
    """Record what the gateway decided and tell the others, once."""
    charged = Dues(command.amount.amount_minor, command.amount.currency, command.payment_token)
    with contradictions_rejected():
        payment = ledger.payment(command.order_id, command.customer_id)
        is_news = payment.record(charged, outcome)
    return _verdict(command, outcome) if is_news else None


@contextmanager
def contradictions_rejected() -> Iterator[None]:
    """Make a dead letter of a record that contradicts what is known: a person must look."""
    try:
        yield
    except ContradictionError as error:
        raise RejectRecord(str(error)) from error


def _command(payment: Payment, dues: Dues | None) -> ChargePayment | None:
    if dues is None:
        return None
    return ChargePayment(
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        amount=Money(amount_minor=dues.amount_minor, currency=dues.currency),
        payment_token=dues.payment_token,
    )


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
