"""Each fault, planted into the evidence of a small shop, is found by the invariant that it violates."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from waybill.audit.evidence import Bounds, Claim, Evidence, Place, Record, Stored
from waybill.audit.finding import Finding
from waybill.audit.invariants import judge
from waybill.audit.journey import QUANTITY, SKU, TOTAL
from waybill.audit.redriven import Letter, Redrive
from waybill.audit.rehearsal import Rehearsal
from waybill.audit.shop import Answer, Entry, Stock

EVERY_END = ("shipped", "rejected", "declined", "expired", "too late", "cancelled", "refunded", "refused")


@pytest.fixture
def shop() -> Rehearsal:
    """A shop in which two customers' orders came to every end."""
    shop = Rehearsal()
    shop.order("o1", "c1", end="shipped", at_s=0)
    shop.order("o2", "c1", end="declined", at_s=10)
    shop.order("o3", "c1", end="rejected", at_s=20)
    shop.order("o4", "c2", end="shipped", at_s=30)
    shop.order("o5", "c1", end="shipped", at_s=40)
    return shop


def findings(evidence: Evidence) -> dict[str, Finding]:
    return {finding.id: finding for finding in judge(evidence)}


def failed(shop: Rehearsal) -> dict[str, set[str]]:
    """Return the subjects of the violations, by invariant."""
    judged = findings(shop.evidence())
    return {each.id: {v.subject for v in each.violations} for each in judged.values() if each.ok is False}


def the(shop: Rehearsal, event_type: str, order_id: str) -> Record:
    (record,) = [each for each in shop.records if each.event_type == event_type and each.order_id == order_id]
    return record


def swap(shop: Rehearsal, first: Record, second: Record) -> None:
    """Exchange the places of two records, for readers and claimants alike."""
    places = {first.event_id: second.place, second.event_id: first.place}
    shop.records = [each._replace(place=places.get(each.event_id, each.place)) for each in shop.records]
    for claims in shop.claims.values():
        for event_id in places.keys() & claims.keys():
            claims[event_id] = claims[event_id]._replace(place=places[event_id])


def test_what_a_compacted_topic_keeps_for_longer_than_claims_are_kept_accuses_nobody(shop: Rehearsal) -> None:
    compacted = shop.wiring.compacted
    shop.records = [each._replace(outlived=True) for each in shop.records if each.place.topic in compacted]
    shop.overrides["bounds"] = {
        partition: ends if partition[0] in compacted else Bounds(ends.high, ends.stable, ends.high)
        for partition, ends in shop.evidence().bounds.items()
    }
    for claims in shop.claims.values():
        claims.clear()

    assert failed(shop) == {}


def test_a_shop_without_faults_violates_nothing(shop: Rehearsal) -> None:
    judged = findings(shop.evidence())

    assert failed(shop) == {}
    assert {each.id for each in judged.values() if each.ok is None} == {"5b", "11"}
    assert all(each.note.startswith("not observable") for each in judged.values() if each.ok is None)
    assert all(each.checked > 0 for each in judged.values() if each.ok)


def test_a_lost_event_is_found_by_its_missing_claim(shop: Rehearsal) -> None:
    placed = the(shop, "OrderPlaced", "o1")
    del shop.claims["inventory"][placed.event_id]
    del shop.reservations["o1"]

    found = failed(shop)

    assert found["1"] == {placed.event_id}
    assert "o1" in found["3"]


def test_a_lost_output_is_found_by_what_its_input_demands(shop: Rehearsal) -> None:
    shop.records.remove(the(shop, "StockAllocated", "o1"))

    assert "o1" in failed(shop)["1"]


def test_an_order_that_was_never_published_is_found(shop: Rehearsal) -> None:
    shop.records = [each for each in shop.records if each.order_id != "o1"]

    assert "o1" in failed(shop)["1"]


def test_a_record_that_stands_twice_in_a_topic_is_found(shop: Rehearsal) -> None:
    first = the(shop, "ShipmentDispatched", "o1")
    again = shop.publish("ShipmentDispatched", first.fields, first.cause)
    shop.records[-1] = again._replace(event_id=first.event_id)

    assert first.event_id in failed(shop)["1"]


@pytest.mark.parametrize("cents", [-1, 1])
def test_a_cent_off_in_accounting_is_found(shop: Rehearsal, cents: int) -> None:
    shop.payments["o1"] = shop.payments["o1"]._replace(amount_minor=TOTAL + cents)

    assert failed(shop)["6"] == {"o1"}


def test_a_cent_off_at_the_gateway_is_found(shop: Rehearsal) -> None:
    shop.ledger[0] = shop.ledger[0]._replace(amount_minor=TOTAL + 1)

    assert failed(shop)["6"] == {"o1"}


def test_a_cent_off_in_an_event_is_found(shop: Rehearsal) -> None:
    captured = the(shop, "PaymentCaptured", "o1")
    amount = {"amount_minor": TOTAL - 1, "currency": "EUR"}
    shop.records[shop.records.index(captured)] = captured._replace(fields={**captured.fields, "amount": amount})

    assert {"3", "6"} <= failed(shop).keys()


def test_a_second_capture_is_found(shop: Rehearsal) -> None:
    shop.ledger.append(Entry("o1", "capture", TOTAL, "EUR", "ch-again", "o1"))

    assert failed(shop)["6"] == {"o1"}


def test_money_taken_for_a_declined_order_is_found(shop: Rehearsal) -> None:
    shop.ledger.append(Entry("o2", "capture", TOTAL, "EUR", "ch-o2", "o2"))

    assert failed(shop)["6"] == {"o2"}


def test_money_taken_for_nobody_is_found_where_the_gateway_is_ours_alone(shop: Rehearsal) -> None:
    shop.ledger.append(Entry("stranger", "capture", 1, "EUR", "ch", "stranger"))
    assert failed(shop)["6"] == {"stranger"}

    shop.overrides["ledger_shared"] = True
    assert failed(shop) == {}


def test_an_invoice_number_used_twice_is_found(shop: Rehearsal) -> None:
    shop.payments["o4"] = shop.payments["o4"]._replace(invoice_number="INV-o1")

    assert {"o1", "o4"} <= failed(shop)["6"]


def test_a_swapped_pair_of_placed_orders_is_found(shop: Rehearsal) -> None:
    swap(shop, the(shop, "OrderPlaced", "o1"), the(shop, "OrderPlaced", "o5"))

    assert {"o1"} <= failed(shop)["4"]


def test_a_swapped_pair_of_decisions_is_found(shop: Rehearsal) -> None:
    swap(shop, the(shop, "ShipmentDispatched", "o1"), the(shop, "ShipmentDispatched", "o5"))

    assert failed(shop) == {"4": {"o1"}}


def test_orders_that_overlapped_may_be_published_in_any_order(shop: Rehearsal) -> None:
    shop.order("p1", "c9", at_s=100)
    shop.order("p2", "c9", at_s=100)
    swap(shop, the(shop, "OrderPlaced", "p1"), the(shop, "OrderPlaced", "p2"))
    told = [Answer("c9", f"key-{each}", each, 1.0, 2.0) for each in ("p1", "p2")]

    assert "p1" not in failed(shop).get("4", set())

    shop.overrides["answers"] = [told[0], told[1]._replace(sent_at=2.5, answered_at=3.0)]
    assert "p1" in failed(shop)["4"]


def test_a_record_in_the_wrong_customers_partition_is_found(shop: Rehearsal) -> None:
    shipped = the(shop, "ShipmentDispatched", "o1")
    elsewhere = shipped.place._replace(partition=(shipped.place.partition + 1) % 3, offset=500)
    shop.records[shop.records.index(shipped)] = shipped._replace(place=elsewhere)

    assert shipped.event_id in failed(shop)["4"]


def test_a_record_under_another_customers_key_is_found(shop: Rehearsal) -> None:
    shipped = the(shop, "ShipmentDispatched", "o1")
    shop.records[shop.records.index(shipped)] = shipped._replace(key=b"c2")

    assert failed(shop) == {"4": {shipped.event_id}}


def test_a_stuck_order_is_found(shop: Rehearsal) -> None:
    shop.orders["o6"] = shop.orders["o1"]._replace(status="placed", placed_at_us=50_000_000)
    shop.keys.append(("c1", "key-o6", "o6"))

    found = failed(shop)

    assert found["10"] == {"o6"}
    assert found["1"] == {"o6"}


def test_a_record_that_no_database_explains_is_found(shop: Rehearsal) -> None:
    fields = the(shop, "StockReserved", "o1").fields
    ghost = shop.publish("StockReserved", {**fields, "order_id": "o1"}, "a cause that nobody claimed")

    assert failed(shop)["2"] == {ghost.event_id}


def test_other_quantities_than_those_placed_are_found(shop: Rehearsal) -> None:
    reserved = the(shop, "StockReserved", "o1")
    lines = [{"sku": SKU, "quantity": QUANTITY + 1}]
    shop.records[shop.records.index(reserved)] = reserved._replace(fields={**reserved.fields, "lines": lines})

    assert failed(shop)["3"] == {"o1"}


def test_an_order_event_that_differs_from_the_accepted_order_is_found(shop: Rehearsal) -> None:
    shop.orders["o1"] = shop.orders["o1"]._replace(placed_at_us=1)

    assert failed(shop)["3"] == {"o1"}


@pytest.mark.parametrize(
    ("stock", "what"),
    [
        (Stock(1000, 1001 - 3 * QUANTITY, 0, 3 * QUANTITY), "one appeared"),
        (Stock(1000, 999 - 3 * QUANTITY, 1, 3 * QUANTITY), "one is held for nobody"),
        (Stock(1000, 1001, -1, 0), "fewer than none"),
    ],
)
def test_stock_that_does_not_balance_is_found(shop: Rehearsal, stock: Stock, what: str) -> None:
    shop.stock[SKU] = stock

    assert failed(shop) == {"6": {SKU}}, what


@pytest.mark.parametrize(("off", "what"), [(1, "ahead of"), (-1, "at rest")])
def test_an_offset_that_differs_from_the_position_is_found(shop: Rehearsal, off: int, what: str) -> None:
    partition = the(shop, "OrderPlaced", "o1").place[:2]
    shop.committed["inventory"][partition] = shop.ends[partition] + off

    (violation,) = findings(shop.evidence())["5"].violations

    assert violation.subject == f"inventory:{partition[0]}/{partition[1]}"
    assert what in violation.what


def test_a_stored_output_that_was_committed_and_is_not_visible_is_a_torn_transaction(shop: Rehearsal) -> None:
    evidence = shop.evidence()
    source = the(shop, "PaymentCaptured", "o1").place
    visible = the(shop, "StockAllocated", "o1")
    stored = [
        Stored(source, "orders.stock", visible.event_id, visible.digest),
        Stored(source, "orders.shipping", "never seen", b""),
    ]
    groups = {**evidence.groups, "inventory": replace(evidence.groups["inventory"], stored=stored)}

    torn = findings(replace(evidence, groups=groups))["7"]

    assert [each.subject for each in torn.violations] == ["never seen"]


def test_an_aborted_output_that_was_never_published_again_is_found(shop: Rehearsal) -> None:
    shop.overrides["aborted"] = [("orders.stock", the(shop, "StockReserved", "o1").event_id), ("orders", "gone")]

    assert failed(shop) == {"7": {"gone"}}


def test_an_aborted_dead_letter_that_was_written_again_is_not_lost_and_another_is(shop: Rehearsal) -> None:
    placed = the(shop, "OrderPlaced", "o1").place  # of a letter of bytes that nobody could decode there is no event id
    shop.overrides["letters"] = [Letter("inventory", placed, "", b"")]
    shop.overrides["aborted"] = [("inventory.dead-letters", str(placed)), ("accounting.dead-letters", str(placed))]

    (lost,) = findings(shop.evidence())["7"].violations
    assert lost.what == "was produced into accounting.dead-letters, aborted, and never published again"


def test_other_bytes_than_those_claimed_are_found(shop: Rehearsal) -> None:
    placed = the(shop, "OrderPlaced", "o1")
    shop.records[shop.records.index(placed)] = placed._replace(digest=b"other")

    assert failed(shop) == {"8": {str(placed.place)}}


def test_an_answered_order_that_is_not_there_is_found(shop: Rehearsal) -> None:
    shop.overrides["answers"] = [Answer("c1", "key-o1", "o1"), Answer("c1", "key-x", "gone")]

    assert failed(shop) == {"9": {"gone"}}


def test_only_an_order_so_old_that_its_key_is_forgotten_may_have_none(shop: Rehearsal) -> None:
    shop.keys.remove(("c1", "key-o1", "o1"))  # at 0 s
    shop.keys.remove(("c2", "key-o4", "o4"))  # at 30 s
    told = [Answer("c1", "key-o1", "o1"), Answer("c2", "key-o4", "o4")]
    evidence = shop.evidence()
    later = replace(evidence, answers=told, tables=replace(evidence.tables, keys_since_us=20_000_000))

    assert {violation.subject for violation in findings(later)["9"].violations} == {"o4"}
    assert {violation.subject for violation in findings(evidence)["9"].violations} == {"o1", "o4"}


def test_two_keys_for_one_order_are_found(shop: Rehearsal) -> None:
    shop.keys.append(("c1", "again", "o1"))

    assert failed(shop) == {"9": {"o1"}}


def test_a_group_that_is_behind_is_found_and_told_from_a_lost_event(shop: Rehearsal) -> None:
    shop.order("o6", "c1", at_s=60)
    evidence = shop.evidence()
    last = the(shop, "ShipmentDispatched", "o6").place
    inventory = evidence.groups["inventory"]
    inventory.claims.pop(the(shop, "ShipmentDispatched", "o6").event_id)  # type: ignore[attr-defined]  # a dict here
    place = {last[:2]: last.offset}
    positions = {**inventory.positions, last[:2]: inventory.positions[last[:2]]._replace(next_offset=last.offset)}
    behind = replace(inventory, positions=positions, committed={**inventory.committed, **place})

    judged = findings(replace(evidence, groups={**evidence.groups, "inventory": behind}, settled=False))

    assert "inventory" in {each.subject for each in judged["10"].violations}
    assert judged["1"].ok


def test_a_table_that_the_log_does_not_give_is_found(shop: Rehearsal) -> None:
    shop.reservations["o1"] = shop.reservations["o1"]._replace(state="allocated")

    assert "o1" in failed(shop)["12"]


def test_a_log_whose_beginning_is_gone_can_not_be_replayed(shop: Rehearsal) -> None:
    evidence = shop.evidence()
    bounds = {**evidence.bounds, ("orders", 0): Bounds(5, 9, 9)}

    replayed = findings(replace(evidence, bounds=bounds))["12"]

    assert replayed.ok is None
    assert "orders" in replayed.note


def test_a_status_that_differs_from_postgresql_is_found(shop: Rehearsal) -> None:
    shop.records.remove(
        next(each for each in shop.records if each.order_id == "o2" and each.fields.get("status") == "declined")
    )

    assert failed(shop) == {"13": {"o2"}}


def bury(shop: Rehearsal, record: Record, group: str) -> None:
    """Let a group make a dead letter of a record."""
    event_id = record.event_id or str(record.place)
    shop.claims[group][event_id] = Claim(event_id, record.place, record.digest, rejected=True)
    shop.overrides.setdefault("letters", []).append(Letter(group, record.place, event_id, record.digest))


def redrive(shop: Rehearsal, record: Record, group: str, *, taken: bool = False) -> Record:
    """Send a dead letter's record again to its partition; `taken`: its group processes it there."""
    place = record.place._replace(offset=shop.ends[record.place[:2]])
    shop.ends[record.place[:2]] += 1
    event_id = record.event_id or str(record.place)
    again = record._replace(place=place, redrive=Redrive(group, event_id))
    shop.records.append(again)
    if taken:
        shop.claims[group][event_id] = Claim(event_id, place, record.digest, rejected=False)
    return again


def poison(shop: Rehearsal) -> Record:
    place = Place("orders", 1, shop.ends["orders", 1])
    shop.ends["orders", 1] += 1
    shop.records.append(Record(place, b"k", "", "", "", b"digest", {}))
    return shop.records[-1]


def test_a_poisoned_record_that_ended_as_a_dead_letter_is_no_violation(shop: Rehearsal) -> None:
    record = poison(shop)
    bury(shop, record, "inventory")
    bury(shop, record, "accounting")

    assert failed(shop) == {}


def test_a_poisoned_record_that_nobody_buried_is_found(shop: Rehearsal) -> None:
    assert str(poison(shop).place) in failed(shop)["2"]


def test_a_dead_letter_that_can_not_be_read_is_found(shop: Rehearsal) -> None:
    bury(shop, poison(shop), "inventory")
    shop.overrides["letters"] = []

    assert failed(shop).keys() == {"1"}


def test_an_order_that_a_dead_letter_holds_is_listed_apart(shop: Rehearsal) -> None:
    about = {"order_id": "o6", "customer_id": "c1"}
    shop.orders["o6"] = shop.orders["o1"]._replace(status="placed", placed_at_us=60_000_000)
    shop.keys.append(("c1", "key-o6", "o6"))
    placed = shop.publish("OrderPlaced", {**the(shop, "OrderPlaced", "o1").fields, **about, "placed_at": 60_000_000})
    shop.claims["accounting"].pop(placed.event_id)
    bury(shop, placed, "inventory")
    bury(shop, placed, "accounting")

    judged = findings(shop.evidence())

    assert failed(shop) == {}
    assert "1 orders stopped by an open dead letter: o6" in judged["10"].note


@pytest.mark.parametrize("tamper", [lambda shop: shop.order("next", "c7", at_s=90), lambda _: None])
def test_more_work_does_not_disturb_the_verdict(shop: Rehearsal, tamper: Callable[[Rehearsal], None]) -> None:
    tamper(shop)

    assert failed(shop) == {}


def test_seven_thousand_orders_are_judged_within_seconds() -> None:
    shop = Rehearsal()
    shop.stock[SKU] = Stock(100_000, 100_000, 0, 0)
    for number in range(7_000):
        shop.order(f"o{number}", f"c{number % 500}", end=EVERY_END[number % len(EVERY_END)], at_s=number)
    evidence = shop.evidence()

    began = time.process_time()
    judged = judge(evidence)

    assert time.process_time() - began < 10
    assert all(each.ok is not False for each in judged)


def test_two_events_of_one_id_that_a_group_reads_from_two_topics_are_found(shop: Rehearsal) -> None:
    reserved, command = the(shop, "StockReserved", "o1"), the(shop, "ChargePayment", "o1")
    shop.records[shop.records.index(command)] = command._replace(event_id=reserved.event_id)
    bury(shop, command, "accounting")

    assert failed(shop)["1"] == {"o1"}


@pytest.mark.parametrize(
    ("event_type", "group"),
    [("OrderPlaced", "accounting"), ("PaymentCaptured", "inventory"), ("StockReserved", "accounting")],
)
def test_a_letter_redriven_twice_and_taken_once_is_right_and_its_order_is_judged_again(
    shop: Rehearsal, event_type: str, group: str
) -> None:
    letter = the(shop, event_type, "o5")
    bury(shop, letter, group)
    assert "1 orders stopped" in findings(shop.evidence())["10"].note

    redrive(shop, letter, group, taken=True)
    redrive(shop, letter, group)

    assert failed(shop) == {}
    assert "0 orders stopped" in findings(shop.evidence())["10"].note
    shop.shipments.pop("o5")
    assert failed(shop) == {"12": {"o5"}}


def test_a_redrive_of_what_was_processed_meanwhile_is_right(shop: Rehearsal) -> None:
    redrive(shop, the(shop, "PaymentCaptured", "o1"), "inventory")

    assert failed(shop) == {}


def test_a_redrive_that_ended_as_another_letter_holds_its_order(shop: Rehearsal) -> None:
    letter = the(shop, "ShipmentDispatched", "o5")
    bury(shop, letter, "inventory")
    bury(shop, redrive(shop, letter, "inventory"), "inventory")
    redrive(shop, letter, "inventory")

    assert failed(shop) == {}
    assert "1 orders stopped by an open dead letter: o5" in findings(shop.evidence())["10"].note


def test_a_record_redriven_by_its_place_since_it_had_no_id_is_right(shop: Rehearsal) -> None:
    record = poison(shop)
    bury(shop, record, "inventory")
    redrive(shop, record, "inventory", taken=True)
    redrive(shop, record, "inventory")
    shop.overrides["letters"] += [Letter("accounting", record.place, "", b"")]

    assert failed(shop) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"redrive": None},
        {"redrive": Redrive("inventory", "another event")},
        {"redrive": Redrive("accounting", "whatever nobody claimed")},
        {"redrive": Redrive("nobody", "whatever")},
        {"digest": b"other bytes"},
    ],
    ids=["without the headers", "of another event", "without a claim", "of no group", "of other bytes"],
)
def test_what_only_looks_like_a_redrive_stands_twice_in_its_topic(shop: Rehearsal, changes: dict[str, object]) -> None:
    letter = the(shop, "PaymentCaptured", "o1")
    again = redrive(shop, letter, "inventory")
    shop.records[-1] = again._replace(**changes)  # type: ignore[arg-type]  # as named above

    assert letter.event_id in failed(shop)["1"]


def test_a_redrive_whose_claim_was_lost_is_found(shop: Rehearsal) -> None:
    letter = the(shop, "PaymentCaptured", "o1")
    redrive(shop, letter, "inventory")
    del shop.claims["inventory"][letter.event_id]

    assert letter.event_id in failed(shop)["1"]
