"""A small shop in memory that leaves the evidence a real one leaves: for tests of the invariants."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from waybill.audit.evidence import Bounds, Claim, Evidence, Group, Partition, Place, Position, Record, Tables
from waybill.audit.murmur import partition_of
from waybill.audit.shop import Entry, Order, Payment, Reservation, Shipment, Stock
from waybill.audit.wiring import Wiring

PARTITIONS = 3
PRICE = 2_500
QUANTITY = 2
SKU = "cd"
RECEIVED = 1_000
TOTAL = PRICE * QUANTITY
MONEY = {"amount_minor": TOTAL, "currency": "EUR"}
LINES = [{"sku": SKU, "quantity": QUANTITY}]


class Rehearsal:
    """Orders go through; afterwards everything may be tampered with before `evidence` is taken."""

    def __init__(self) -> None:
        self.wiring = Wiring.of_contracts()
        self.records: list[Record] = []
        self.claims: dict[str, dict[str, Claim]] = {group: {} for group in self.wiring.consumes}
        self.ends: Counter[Partition] = Counter()
        self.committed: dict[str, dict[Partition, int]] = defaultdict(dict)
        self.orders: dict[str, Order] = {}
        self.keys: list[tuple[str, str, str]] = []
        self.stock = {SKU: Stock(RECEIVED, RECEIVED, 0, 0)}
        self.reservations: dict[str, Reservation] = {}
        self.payments: dict[str, Payment] = {}
        self.shipments: dict[str, Shipment] = {}
        self.ledger: list[Entry] = []
        self.overrides: dict[str, Any] = {}
        price = {"amount_minor": PRICE, "currency": "EUR"}
        self.publish("ProductListed", {"sku": SKU, "name": "CD", "unit_price": price})

    def publish(self, event_type: str, fields: Mapping[str, Any], cause: str = "") -> Record:
        """Append an event to its topic and let every group that handles it claim it."""
        topic = self.wiring.topics[event_type]
        key = str(fields[self.wiring.keys[event_type]]).encode()
        partition = partition_of(key, PARTITIONS)
        place = Place(topic, partition, self.ends[topic, partition])
        self.ends[topic, partition] += 1
        event_id = f"{event_type}@{place}"
        record = Record(place, key, event_id, event_type, cause, sha256(event_id.encode()).digest(), fields)
        self.records.append(record)
        for group, types in self.wiring.consumes.items():
            if event_type in types:
                self.claims[group][event_id] = Claim(event_id, place, record.digest, rejected=False)
        return record

    def order(self, order_id: str, customer_id: str = "c1", *, end: str = "shipped", at_s: int = 0) -> None:
        """Place an order, `at_s` seconds into the day, and take it to its end: shipped, rejected or declined."""
        about = {"order_id": order_id, "customer_id": customer_id}
        row = Order(customer_id, end, TOTAL, "EUR", at_s * 1_000_000, at_s * 1_000_000, {SKU: QUANTITY})
        self.orders[order_id] = row
        self.keys.append((customer_id, f"key-{order_id}", order_id))
        line = {**LINES[0], "unit_price": {"amount_minor": PRICE, "currency": "EUR"}}
        details = {"lines": [line], "total": MONEY, "payment_token": "tok_ok", "placed_at": row.placed_at_us}
        placed = self.publish("OrderPlaced", about | details)
        self.payments[order_id] = Payment(customer_id, "awaiting", TOTAL, "EUR", "", "")
        if end == "rejected":
            self._reject(about, placed)
            return
        reserved = self.publish("StockReserved", about | {"lines": LINES}, placed.event_id)
        self._move("free", "held")
        self._change(about, "reserved", reserved)
        command = self.publish("ChargePayment", about | {"amount": MONEY, "payment_token": "tok_ok"}, reserved.event_id)
        finish = self._decline if end == "declined" else self._ship
        finish(about, command)

    def evidence(self) -> Evidence:
        """Return what an audit would have read, at rest unless `overrides` says otherwise."""
        ends = {each: self.ends[each] for each in self.ends}
        groups = {
            group: Group(
                claims=claims,
                positions={each: Position(end, end) for each, end in ends.items()},
                committed=ends | self.committed[group],
            )
            for group, claims in self.claims.items()
        }
        tables = Tables(
            orders=self.orders,
            keys=self.keys,
            prices={SKU: (PRICE, "EUR")},
            products={SKU: (PRICE, "EUR")},
            stock=self.stock,
            reservations=self.reservations,
            payments=self.payments,
            shipments=self.shipments,
        )
        topics = self.wiring.topics.values()
        bounds = {
            (topic, n): Bounds(0, ends.get((topic, n), 0), ends.get((topic, n), 0))
            for topic in topics
            for n in range(3)
        }
        about: dict[str, Any] = {"bounds": bounds, "groups": groups, "tables": tables, "ledger": self.ledger}
        return Evidence(**{"wiring": self.wiring, "records": sorted(self.records), **about, **self.overrides})

    def _reject(self, about: Mapping[str, Any], placed: Record) -> None:
        rejected = self.publish("StockRejected", {**about, "short_skus": [SKU]}, placed.event_id)
        self.reservations[about["order_id"]] = Reservation(about["customer_id"], "rejected", {})
        self._change(about, "rejected", rejected)

    def _decline(self, about: Mapping[str, Any], command: Record) -> None:
        declined = self.publish("PaymentDeclined", {**about, "reason": "no funds"}, command.event_id)
        self._pay(about, state="declined")
        fields = {**about, "reason": "declined", "lines": LINES}
        released = self.publish("StockReleased", fields, declined.event_id)
        self._move("held", "free")
        self._reserve(about, "released")
        self._change(about, "declined", released)

    def _ship(self, about: Mapping[str, Any], command: Record) -> None:
        order_id, customer_id = about["order_id"], about["customer_id"]
        charge, invoice = f"ch-{order_id}", f"INV-{order_id}"
        fields = {**about, "amount": MONEY, "charge_id": charge, "invoice_number": invoice}
        captured = self.publish("PaymentCaptured", fields, command.event_id)
        self._pay(about, state="captured", charge_id=charge, invoice_number=invoice)
        self.ledger.append(Entry(order_id, "capture", TOTAL, "EUR", charge, order_id))
        self._change(about, "paid", captured)
        allocated = self.publish("StockAllocated", {**about, "lines": LINES}, captured.event_id)
        fields = {**about, "shipment_id": f"sh-{order_id}", "lines": LINES}
        dispatched = self.publish("ShipmentDispatched", fields, allocated.event_id)
        self.shipments[order_id] = Shipment(customer_id, f"sh-{order_id}", {SKU: QUANTITY})
        self._move("held", "shipped")
        self._reserve(about, "shipped")
        self._change(about, "shipped", dispatched)

    def _change(self, about: Mapping[str, Any], status: str, cause: Record) -> None:
        self.publish("OrderStatusChanged", {**about, "status": status}, cause.event_id)

    def _move(self, source: str, target: str) -> None:
        stock = self.stock[SKU]._asdict()
        stock[source] -= QUANTITY
        stock[target] += QUANTITY
        self.stock[SKU] = Stock(**stock)

    def _reserve(self, about: Mapping[str, Any], state: str) -> None:
        self.reservations[about["order_id"]] = Reservation(about["customer_id"], state, {SKU: QUANTITY})

    def _pay(self, about: Mapping[str, Any], **changes: Any) -> None:
        self.payments[about["order_id"]] = self.payments[about["order_id"]]._replace(**changes)
