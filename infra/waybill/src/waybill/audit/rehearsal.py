"""A small shop in memory that leaves the evidence a real one leaves: for tests of the invariants."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from waybill.audit.evidence import Bounds, Claim, Evidence, Group, Partition, Place, Position, Record, Stored, Tables
from waybill.audit.journey import LINES, MONEY, PRICE, QUANTITY, SKU, TOTAL, Journey
from waybill.audit.murmur import partition_of
from waybill.audit.shop import Cancellation, Entry, Order, Payment, Reservation, Shipment, Stock
from waybill.audit.wiring import Wiring

PARTITIONS = 3
RECEIVED = 1_000


class Rehearsal:
    """Orders go through; afterwards everything may be tampered with before `evidence` is taken."""

    def __init__(self) -> None:
        self.wiring = Wiring.of_contracts()
        self.records: list[Record] = []
        self.claims: dict[str, dict[str, Claim]] = {group: {} for group in self.wiring.consumes}
        self.ends: Counter[Partition] = Counter()
        self.committed: dict[str, dict[Partition, int]] = defaultdict(dict)
        self.positions: dict[str, dict[Partition, Position]] = defaultdict(dict)
        self.stored: dict[str, list[Stored]] = defaultdict(list)
        self.orders: dict[str, Order] = {}
        self.keys: list[tuple[str, str, str]] = []
        self.stock = {SKU: Stock(RECEIVED, RECEIVED, 0, 0)}
        self.reservations: dict[str, Reservation] = {}
        self.payments: dict[str, Payment] = {}
        self.shipments: dict[str, Shipment] = {}
        self.cancellations: dict[str, Cancellation] = {}
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
        """Place an order, `at_s` seconds into the day, and take it to an end.

        Ends: shipped, rejected, declined, expired (never charged), cancelled (before it was charged), refunded (paid,
        then cancelled), too late (the payment came after the expiry, and went back), refused (its cancellation was).
        """
        about = {"order_id": order_id, "customer_id": customer_id}
        row = Order(customer_id, "placed", TOTAL, "EUR", at_s * 1_000_000, at_s * 1_000_000, {SKU: QUANTITY})
        self.orders[order_id] = row
        self.keys.append((customer_id, f"key-{order_id}", order_id))
        line = {**LINES[0], "unit_price": {"amount_minor": PRICE, "currency": "EUR"}}
        details = {"lines": [line], "total": MONEY, "payment_token": "tok_ok", "placed_at": row.placed_at_us}
        placed = self.publish("OrderPlaced", about | details)
        self.payments[order_id] = Payment(customer_id, "awaiting", TOTAL, "EUR", "", "")
        Journey(self, about).go(placed, end)

    def evidence(self) -> Evidence:
        """Return what an audit would have read, at rest unless `overrides` says otherwise."""
        ends = {each: self.ends[each] for each in self.ends}
        groups = {
            group: Group(
                claims=claims,
                positions={each: Position(end, end) for each, end in ends.items()} | self.positions[group],
                committed=ends | self.committed[group],
                stored=self.stored[group],
            )
            for group, claims in self.claims.items()
        }
        bounds = {
            (topic, n): Bounds(0, ends.get((topic, n), 0), ends.get((topic, n), 0))
            for topic in self.wiring.topics.values()
            for n in range(PARTITIONS)
        }
        about: dict[str, Any] = {"bounds": bounds, "groups": groups, "tables": self._tables(), "ledger": self.ledger}
        return Evidence(**{"wiring": self.wiring, "records": sorted(self.records), **about, **self.overrides})

    def _tables(self) -> Tables:
        return Tables(
            orders=self.orders,
            keys=self.keys,
            prices={SKU: (PRICE, "EUR")},
            products={SKU: (PRICE, "EUR")},
            stock=self.stock,
            reservations=self.reservations,
            payments=self.payments,
            shipments=self.shipments,
            cancellations=self.cancellations,
        )
