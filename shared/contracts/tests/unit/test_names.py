"""Names within a namespace."""

import pytest

from contracts import SERVICES, TOPICS, Names


def test_the_default_namespace_adds_nothing() -> None:
    names = Names()
    assert names.topic("orders") == "orders"
    assert names.group("inventory") == "inventory"
    assert names.transactional_id("inventory", "1") == "inventory.1"
    assert names.database("inventory") == "inventory"
    assert names.subject("orders", "waybill.OrderPlaced") == "orders-waybill.OrderPlaced"


def test_a_namespace_stands_before_every_name() -> None:
    names = Names("t1")
    assert names.prefix == "t1."
    assert names.topic("orders.stock") == "t1.orders.stock"
    assert names.group("inventory") == "t1.inventory"
    assert names.user("inventory") == "t1.inventory"
    assert names.transactional_id("inventory", "relay") == "t1.inventory.relay"
    assert names.database("inventory") == "t1_inventory"
    assert names.role("auditor") == "t1_auditor"
    assert names.subject("orders", "waybill.OrderPlaced") == "t1.orders-waybill.OrderPlaced"
    assert names.logical("t1.orders.stock") == "orders.stock"


def test_the_operator_and_the_registry_are_the_same_in_every_namespace() -> None:
    names = Names("t1")
    assert (names.user("operator"), names.role("operator"), names.database("registry")) == (
        "operator",
        "operator",
        "registry",
    )


@pytest.mark.parametrize("namespace", ["T1", "1t", "t.1", "t_1", "a" * 17, " "])
def test_a_name_that_kafka_or_postgresql_would_trip_over_is_no_namespace(namespace: str) -> None:
    with pytest.raises(ValueError, match="a namespace is"):
        Names(namespace)


@pytest.mark.parametrize("word", [*SERVICES, *{topic.name.split(".")[0] for topic in TOPICS}, "payment"])
def test_a_namespace_can_not_pose_as_a_part_of_the_default_one(word: str) -> None:
    with pytest.raises(ValueError, match="part of a name already"):
        Names(word)


def test_each_namespace_owns_its_own_names_only() -> None:
    assert Names().owns("orders.stock")
    assert not Names().owns("t1.orders.stock")
    assert Names("t1").owns("t1.orders.stock")
    assert not Names("t1").owns("orders.stock")
    assert not Names("t1").owns("t11.orders")
