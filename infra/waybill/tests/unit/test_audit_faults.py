"""One way to be wrong after the other, planted into the evidence of a small shop: each is named by its invariant."""

from collections.abc import Callable

import pytest

from waybill.audit.evidence import Claim, Place, Position, Record, Stored
from waybill.audit.history import History, Look, Owned
from waybill.audit.invariants import judge
from waybill.audit.journey import QUANTITY, SKU, TOTAL
from waybill.audit.rehearsal import Rehearsal
from waybill.audit.shop import Entry, Stock

KINDS = {  # of being wrong: a case that gets lost is missed by the last test
    *("lost", "doubled", "swapped", "torn", "aborted but visible", "altered output", "offset back", "offset ahead"),
    *("orphan claim", "negative stock", "leaked reservation", "charge without order", "refund missing"),
    *("two invoices", "two shipments", "wrong amount", "wrong customer's partition", "stale status"),
    *("hanging transaction", "order stuck", "two ends", "refunded twice", "refund never booked", "charged though void"),
    *("shipped though cancelled", "allocated though expired", "cancelled unasked", "another charge refunded"),
    *("status back", "foreign cause", "answer without order"),
}
Plant = Callable[[Rehearsal], str]  # plants, and returns the subject that the audit must name
PLANTS: dict[str, tuple[str, Plant]] = {}


def caught_by(invariant: str, kind: str) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        PLANTS[kind] = (invariant, plant)
        return plant

    return register


@pytest.fixture
def shop() -> Rehearsal:
    """A shop in which one customer's orders came to every end, and another's was shipped."""
    shop = Rehearsal()
    ends = ("shipped", "declined", "rejected", "expired", "too late", "cancelled", "refunded", "refused", "shipped")
    for number, end in enumerate(ends):
        shop.order(f"{end} {number}", "c1", end=end, at_s=10 * number)
    shop.order("other", "c2", at_s=100)
    return shop


def violated(shop: Rehearsal) -> dict[str, set[str]]:
    return {each.id: {v.subject for v in each.violations} for each in judge(shop.evidence()) if each.violations}


def the(shop: Rehearsal, event_type: str, order_id: str) -> Record:
    (record,) = [each for each in shop.records if each.event_type == event_type and each.order_id == order_id]
    return record


def change(shop: Rehearsal, record: Record, **changes: object) -> str:
    shop.records[shop.records.index(record)] = record._replace(**changes)  # type: ignore[arg-type]  # by its callers
    return record.event_id


@caught_by("1", "lost")
def lose(shop: Rehearsal) -> str:
    shop.records.remove(the(shop, "RefundPayment", "too late 4"))
    return "too late 4"


@caught_by("1", "doubled")
def double(shop: Rehearsal) -> str:
    record = the(shop, "PaymentRefunded", "refunded 6")
    change(shop, shop.publish("PaymentRefunded", record.fields, record.cause), event_id=record.event_id)
    return record.event_id


@caught_by("4", "swapped")
def swap(shop: Rehearsal) -> str:
    first, second = the(shop, "StockAllocated", "shipped 0"), the(shop, "StockAllocated", "shipped 8")
    places = {first.event_id: second.place, second.event_id: first.place}
    shop.records = [each._replace(place=places.get(each.event_id, each.place)) for each in shop.records]
    for claims in shop.claims.values():
        for event_id in places.keys() & claims.keys():
            claims[event_id] = claims[event_id]._replace(place=places[event_id])
    return "shipped 0"


@caught_by("7", "torn")
def tear(shop: Rehearsal) -> str:
    shop.stored["accounting"] = [Stored(the(shop, "ChargePayment", "shipped 0").place, "orders.billing", "torn", b"")]
    return "torn"


@caught_by("2", "aborted but visible")
def leave_visible(shop: Rehearsal) -> str:
    return shop.publish("ShipmentDispatched", the(shop, "ShipmentDispatched", "other").fields, "rolled back").event_id


@caught_by("7", "altered output")
def alter(shop: Rehearsal) -> str:
    record = the(shop, "StockAllocated", "other")
    source = the(shop, "PaymentCaptured", "other").place
    shop.stored["inventory"] = [Stored(source, "orders.stock", record.event_id, b"other bytes")]
    return record.event_id


def watched(shop: Rehearsal, *offsets: int) -> str:
    place, history = the(shop, "OrderPlaced", "other").place, History()
    for offset in offsets:
        owned = {"inventory": {place[:2]: Owned(1, 9)}}
        history.add(Look({"inventory": {place[:2]: offset}}, owned, {}))
    shop.overrides["history"] = history
    return f"inventory:{place.topic}/{place.partition}"


@caught_by("5b", "offset back")
def set_back(shop: Rehearsal) -> str:
    return watched(shop, 9, 3, 9)


@caught_by("5", "offset ahead")
def set_ahead(shop: Rehearsal) -> str:
    place = the(shop, "OrderPlaced", "other").place
    shop.positions["inventory"][place[:2]] = Position(shop.ends[place[:2]] - 1, 0)
    return f"inventory:{place.topic}/{place.partition}"


@caught_by("1", "orphan claim")
def orphan(shop: Rehearsal) -> str:
    place = the(shop, "OrderPlaced", "other").place
    shop.ends[place[:2]] += 1  # as an aborted record leaves it
    ghost = Place(place.topic, place.partition, shop.ends[place[:2]] - 1)
    shop.claims["inventory"]["orphan"] = Claim("orphan", ghost, b"", rejected=False)
    return "orphan"


@caught_by("6", "negative stock")
def sell_too_much(shop: Rehearsal) -> str:
    shipped = shop.stock[SKU].shipped
    shop.stock[SKU] = Stock(shipped - 1, -1, 0, shipped)
    return SKU


@caught_by("10", "leaked reservation")
def leak(shop: Rehearsal) -> str:
    shop.reservations["expired 3"] = shop.reservations["expired 3"]._replace(state="held")
    return "expired 3"


@caught_by("6", "charge without order")
def charge_nobody(shop: Rehearsal) -> str:
    shop.ledger.append(Entry("nobody", "capture", TOTAL, "EUR", "ch", "nobody"))
    return "nobody"


@caught_by("6", "refund missing")
def keep_the_money(shop: Rehearsal) -> str:
    shop.ledger = [each for each in shop.ledger if each.kind == "capture" or each.order_id != "too late 4"]
    return "too late 4"


@caught_by("6", "refunded twice")
def refund_again(shop: Rehearsal) -> str:
    (refund,) = [each for each in shop.ledger if each.kind == "refund" and each.order_id == "refunded 6"]
    shop.ledger.append(refund._replace(refund_id="another"))
    return "refunded 6"


@caught_by("10", "refund never booked")
def stop_refunding(shop: Rehearsal) -> str:
    shop.payments["refunded 6"] = shop.payments["refunded 6"]._replace(state="refunding")
    return "refunded 6"


@caught_by("6", "two invoices")
def share_an_invoice(shop: Rehearsal) -> str:
    shop.payments["other"] = shop.payments["other"]._replace(invoice_number="INV-shipped 0")
    return "other"


@caught_by("3", "two shipments")
def ship_twice(shop: Rehearsal) -> str:
    first = the(shop, "ShipmentDispatched", "other")
    shop.publish("ShipmentDispatched", {**first.fields, "shipment_id": "another"}, first.cause)
    return "other"


@caught_by("6", "wrong amount")
def overcharge(shop: Rehearsal) -> str:
    shop.ledger[0] = shop.ledger[0]._replace(amount_minor=TOTAL + 1)
    return shop.ledger[0].order_id


@caught_by("4", "wrong customer's partition")
def misdirect(shop: Rehearsal) -> str:
    return change(shop, the(shop, "PaymentRefunded", "too late 4"), key=b"c2")


@caught_by("13", "stale status")
def forget_the_end(shop: Rehearsal) -> str:
    last = [each for each in shop.records if each.order_id == "cancelled 5" and "status" in each.fields]
    shop.records.remove(last[-1])
    return "cancelled 5"


@caught_by("3", "status back")
def go_back(shop: Rehearsal) -> str:
    paid = next(each for each in shop.records if each.order_id == "other" and each.fields.get("status") == "paid")
    shop.publish("OrderStatusChanged", {**paid.fields, "status": "reserved"}, paid.cause)
    return "other"


@caught_by("10", "hanging transaction")
def hang(shop: Rehearsal) -> str:
    bounds = shop.evidence().bounds
    shop.overrides["bounds"] = {**bounds, ("orders", 0): bounds["orders", 0]._replace(high=1_000)}
    return "orders/0"


@caught_by("10", "order stuck")
def stop_half_way(shop: Rehearsal) -> str:
    shop.orders["other"] = shop.orders["other"]._replace(status="paid")
    return "other"


@caught_by("10", "two ends")
def end_twice(shop: Rehearsal) -> str:
    about = {"order_id": "other", "customer_id": "c2"}
    shop.publish("ShipmentCancelled", about, the(shop, "StockAllocated", "other").event_id)
    return "other"


@caught_by("3", "shipped though cancelled")
def ship_cancelled(shop: Rehearsal) -> str:
    about = {"order_id": "refunded 6", "customer_id": "c1", "lines": [{"sku": SKU, "quantity": QUANTITY}]}
    cause = the(shop, "OrderCancelled", "refunded 6").event_id
    shop.publish("ShipmentDispatched", {**about, "shipment_id": "sh"}, cause)
    return "refunded 6"


@caught_by("3", "allocated though expired")
def allocate_expired(shop: Rehearsal) -> str:
    failed = the(shop, "AllocationFailed", "too late 4")
    lines = [{"sku": SKU, "quantity": QUANTITY}]
    shop.records.remove(failed)
    shop.publish("StockAllocated", {**failed.fields, "lines": lines}, failed.cause)
    return "too late 4"


@caught_by("3", "charged though void")
def charge_void(shop: Rehearsal) -> str:
    money = {"amount": {"amount_minor": TOTAL, "currency": "EUR"}, "payment_token": "tok"}
    cause = the(shop, "ShipmentCancelled", "cancelled 5").event_id
    shop.publish("ChargePayment", {"order_id": "cancelled 5", "customer_id": "c1", **money}, cause)
    return "cancelled 5"


@caught_by("2", "cancelled unasked")
def cancel_unasked(shop: Rehearsal) -> str:
    return shop.publish("OrderCancelled", {"order_id": "other", "customer_id": "c2", "asked_at": 1}).event_id


@caught_by("6", "another charge refunded")
def refund_another(shop: Rehearsal) -> str:
    entries = enumerate(shop.ledger)
    (at,) = [n for n, each in entries if each.kind == "refund" and each.order_id == "refunded 6"]
    shop.ledger[at] = shop.ledger[at]._replace(charge_id="ch-other")
    return "refunded 6"


@caught_by("3", "foreign cause")
def answer_another(shop: Rehearsal) -> str:
    change(shop, the(shop, "StockReserved", "other"), cause=the(shop, "OrderPlaced", "shipped 0").event_id)
    return "other"


@caught_by("9", "answer without order")
def forget_the_order(shop: Rehearsal) -> str:
    shop.keys.append(("c2", "key", "never placed"))
    return "key"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_of_fault_is_caught_and_named(shop: Rehearsal, kind: str) -> None:
    invariant, plant = PLANTS[kind]
    assert violated(shop) == {}

    subject = plant(shop)

    assert subject in violated(shop)[invariant]


def test_no_kind_of_fault_has_lost_its_case() -> None:
    assert PLANTS.keys() == KINDS
    assert len(KINDS) >= 20
