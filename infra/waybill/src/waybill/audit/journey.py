"""What the services of a rehearsal do with one order, after it was placed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from waybill.audit.shop import Cancellation, Entry, Reservation, Shipment, Stock

if TYPE_CHECKING:
    from waybill.audit.evidence import Record
    from waybill.audit.rehearsal import Rehearsal

PRICE = 2_500
QUANTITY = 2
SKU = "cd"
TOTAL = PRICE * QUANTITY
MONEY = {"amount_minor": TOTAL, "currency": "EUR"}
LINES = [{"sku": SKU, "quantity": QUANTITY}]


class Journey:
    """Takes one order to its end, event by event, in one of the orders that are possible."""

    def __init__(self, shop: "Rehearsal", about: Mapping[str, Any]) -> None:
        self._shop = shop
        self._about = about
        self._order_id, self._customer_id = about["order_id"], about["customer_id"]

    def go(self, placed: "Record", end: str) -> None:
        """Take the order to an end that `Rehearsal.order` names."""
        if end == "rejected":
            rejected = self._tell("StockRejected", placed, short_skus=[SKU])
            self._shop.reservations[self._order_id] = Reservation(self._customer_id, "rejected", {})
            self._change("rejected", rejected)
            return
        reserved = self._tell("StockReserved", placed, lines=LINES)
        self._hold("held", "free", "held")
        self._change("reserved", reserved)
        finish = {
            "shipped": self._ship,
            "refused": self._ship_before_the_cancellation,
            "declined": self._decline,
            "expired": self._expire,
            "too late": self._pay_too_late,
            "cancelled": self._cancel,
            "refunded": self._cancel_paid,
        }
        finish[end](reserved)

    def _ship(self, reserved: "Record") -> None:
        captured = self._capture(reserved)
        self._change("paid", captured)
        allocated = self._tell("StockAllocated", captured, lines=LINES)
        dispatched = self._tell("ShipmentDispatched", allocated, shipment_id=f"sh-{self._order_id}", lines=LINES)
        self._shop.shipments[self._order_id] = Shipment(self._customer_id, f"sh-{self._order_id}", {SKU: QUANTITY})
        self._hold("shipped", "held", "shipped", paid=True)
        self._change("shipped", dispatched)

    def _ship_before_the_cancellation(self, reserved: "Record") -> None:
        self._ship(reserved)
        refusal = self._answer("CancellationRefused", self._tell("OrderCancelled", None, asked_at=1))
        last = self._shop.records.pop(self._of_status("shipped"))  # checkout withheld it until the answer came
        self._shop.records.append(last._replace(cause=refusal.event_id))

    def _decline(self, reserved: "Record") -> None:
        declined = self._tell("PaymentDeclined", self._charge(reserved), reason="no funds")
        self._pay(state="declined")
        self._change("declined", self._release(declined, "declined"))

    def _expire(self, reserved: "Record") -> None:
        del reserved  # accounting was away: it takes the reservation and its end together, and charges nothing
        self._pay(state="awaiting", reserved=True, voided=True)
        command = self._tell("ExpireReservation", None)
        self._change("expired", self._release(command, "expired", expiry_told=True))

    def _pay_too_late(self, reserved: "Record") -> None:
        captured = self._capture(reserved)
        released = self._release(self._tell("ExpireReservation", None), "expired", expiry_told=True)
        self._change("paid", captured)
        self._change("expired", released)
        self._tell("AllocationFailed", captured)
        self._hold("released", "free", "free", paid=True, expiry_told=True)
        self._refund(released)

    def _cancel(self, reserved: "Record") -> None:
        del reserved
        self._pay(state="awaiting", reserved=True, voided=True)
        cancelled = self._answer("ShipmentCancelled", self._tell("OrderCancelled", None, asked_at=1))
        self._change("cancelled", cancelled)
        self._release(cancelled, "cancelled")

    def _cancel_paid(self, reserved: "Record") -> None:
        captured = self._capture(reserved)
        self._change("paid", captured)
        cancelled = self._answer("ShipmentCancelled", self._tell("OrderCancelled", None, asked_at=1))
        self._change("cancelled", cancelled)
        self._release(cancelled, "cancelled")
        self._tell("AllocationFailed", captured)
        self._hold("released", "free", "free", paid=True)
        self._refund(cancelled)

    def _charge(self, reserved: "Record") -> "Record":
        self._pay(state="charging", reserved=True)
        return self._tell("ChargePayment", reserved, amount=MONEY, payment_token="tok_ok")  # noqa: S106  # no secret

    def _capture(self, reserved: "Record") -> "Record":
        charge, invoice = f"ch-{self._order_id}", f"INV-{self._order_id}"
        command = self._charge(reserved)
        self._pay(state="captured", charge_id=charge, invoice_number=invoice)
        self._shop.ledger.append(Entry(self._order_id, "capture", TOTAL, "EUR", charge, self._order_id))
        return self._tell("PaymentCaptured", command, amount=MONEY, charge_id=charge, invoice_number=invoice)

    def _refund(self, cause: "Record") -> None:
        charge, refund = f"ch-{self._order_id}", f"re-{self._order_id}"
        command = self._tell("RefundPayment", cause, amount=MONEY, charge_id=charge)
        self._tell("PaymentRefunded", command, amount=MONEY, charge_id=charge, refund_id=refund)
        self._pay(state="refunded", refund_id=refund, voided=True)
        key = f"{self._order_id}:refund"
        self._shop.ledger.append(Entry(self._order_id, "refund", TOTAL, "EUR", charge, key, refund))

    def _release(self, cause: "Record", reason: str, *, expiry_told: bool = False) -> "Record":
        self._hold("released", "held", "free", expiry_told=expiry_told)
        return self._tell("StockReleased", cause, reason=reason, lines=LINES)

    def _answer(self, event_type: str, asked: "Record") -> "Record":
        granted = event_type == "ShipmentCancelled"
        self._shop.cancellations[self._order_id] = Cancellation(self._customer_id, granted)
        row = self._shop.orders[self._order_id]
        self._shop.orders[self._order_id] = row._replace(cancellation="granted" if granted else "refused")
        return self._tell(event_type, asked)

    def _change(self, status: str, cause: "Record") -> None:
        self._shop.orders[self._order_id] = self._shop.orders[self._order_id]._replace(status=status)
        self._tell("OrderStatusChanged", cause, status=status)

    def _tell(self, event_type: str, cause: "Record | None", **fields: Any) -> "Record":
        return self._shop.publish(event_type, {**self._about, **fields}, cause.event_id if cause else "")

    def _of_status(self, status: str) -> int:
        told = enumerate(self._shop.records)
        return next(n for n, each in told if each.order_id == self._order_id and each.fields.get("status") == status)

    def _hold(self, state: str, source: str, target: str, *, paid: bool = False, expiry_told: bool = False) -> None:
        stock = self._shop.stock[SKU]._asdict()
        stock[source] -= QUANTITY
        stock[target] += QUANTITY
        self._shop.stock[SKU] = Stock(**stock)
        self._shop.reservations[self._order_id] = Reservation(
            self._customer_id, state, {SKU: QUANTITY}, paid, expiry_told
        )

    def _pay(self, **changes: Any) -> None:
        payment = self._shop.payments[self._order_id]._replace(**changes)
        self._shop.payments[self._order_id] = payment
