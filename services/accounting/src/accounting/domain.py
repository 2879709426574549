"""Payments: what an order owes, what the gateway said about it, the invoice that follows, and the way back."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID, uuid5


class State(StrEnum):
    """Where a payment stands."""

    AWAITING = "awaiting"  # the amount or the go-ahead is still missing, or the payment is void
    CHARGING = "charging"  # the intent is committed; the gateway's answer is not known here
    CAPTURED = "captured"
    DECLINED = "declined"
    REFUNDING = "refunding"  # the intent is committed; the gateway's answer is not known here
    REFUNDED = "refunded"


TAKEN = frozenset({State.CAPTURED, State.REFUNDING, State.REFUNDED})


@dataclass(frozen=True, slots=True)
class Captured:
    """The gateway took the money."""

    charge_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway refused; no money moved."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refunded:
    """The gateway gave the money back."""

    refund_id: str


ChargeOutcome = Captured | Declined


@dataclass(frozen=True, slots=True)
class Dues:
    """What an order owes, in the currency's minor units, and how it is paid: known once the order is."""

    amount_minor: int
    currency: str
    payment_token: str


class ContradictionError(Exception):
    """Two facts about one order exclude each other."""


@dataclass(slots=True)
class Payment:
    """The payment of one order, and all that is known towards it. A void one is not charged, or refunded."""

    order_id: UUID
    customer_id: str
    state: State = State.AWAITING
    dues: Dues | None = None
    reserved: bool = False
    charge_id: str | None = None
    invoice_number: str | None = None
    decline_reason: str | None = None
    voided: bool = False
    refund_id: str | None = None

    def learn_dues(self, dues: Dues) -> Dues | None:
        """Remember what the order owes; return it if the charge is due now."""
        if self.dues not in {None, dues}:
            raise ContradictionError(f"order {self.order_id} was placed before with another amount or token")
        self.dues = dues
        return self._start_charging()

    def learn_reservation(self) -> Dues | None:
        """Remember that the stock is held; return what the order owes if the charge is due now."""
        self.reserved = True
        return self._start_charging()

    def record(self, charged: Dues, outcome: ChargeOutcome) -> bool:
        """Record what the gateway said about a charge, whatever the state; return whether that is news."""
        told = self._told()
        if told == outcome:
            return False
        if told is not None:
            raise ContradictionError(f"the gateway took back what it said about order {self.order_id}")
        self.dues, self.reserved = charged, True
        if isinstance(outcome, Captured):
            self.state, self.charge_id = State.CAPTURED, outcome.charge_id
            self.invoice_number = invoice_number(self.order_id)
        else:
            self.state, self.decline_reason = State.DECLINED, outcome.reason
        return True

    def void(self) -> None:
        """Remember that nothing will be delivered for this payment."""
        self.voided = True

    def start_refunding(self) -> Dues | None:
        """Return what must go back if its refund is due now: money was taken for nothing, and no refund is begun."""
        if not self.voided or self.state is not State.CAPTURED:
            return None
        self.state = State.REFUNDING
        return self.dues

    def record_refund(self, outcome: Refunded) -> bool:
        """Record that the money went back; return whether that is news."""
        if self.state is State.REFUNDED and self.refund_id == outcome.refund_id:
            return False
        if self.state is not State.REFUNDING:
            raise ContradictionError(f"the payment of order {self.order_id} is {self.state}, and yet refunded")
        self.state, self.refund_id = State.REFUNDED, outcome.refund_id
        return True

    def _start_charging(self) -> Dues | None:
        if self.state is not State.AWAITING or self.voided or not self.reserved or self.dues is None:
            return None
        self.state = State.CHARGING
        return self.dues

    def _told(self) -> ChargeOutcome | None:
        if self.state in TAKEN and self.charge_id is not None:
            return Captured(self.charge_id)
        if self.state is State.DECLINED and self.decline_reason is not None:
            return Declined(self.decline_reason)
        return None


def invoice_number(order_id: UUID) -> str:
    """Return the order's invoice number: the same at every reading, another for every order."""
    return f"INV-{uuid5(order_id, 'invoice').hex[:16].upper()}"
