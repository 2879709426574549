"""What provisioning would change in Kafka, told from two states."""

from dataclasses import replace

import pytest

from contracts import Names
from waybill.provision.kafka.difference import difference
from waybill.provision.kafka.state import Acl, KafkaState, TopicState, desired, touches

WANTED = desired(Names("t1"), brokers=3)
NOTHING = KafkaState({}, frozenset(), frozenset())


def with_topic(name: str, topic: TopicState) -> KafkaState:
    return replace(WANTED, topics={**WANTED.topics, name: topic})


def test_an_empty_cluster_needs_every_topic_user_and_permission() -> None:
    differs = difference(WANTED, NOTHING)
    assert differs.new_topics == WANTED.topics
    assert differs.new_users == {
        f"t1.{user}" for user in ("checkout", "inventory", "accounting", "fulfillment", "auditor", "letters")
    }
    assert differs.new_acls == WANTED.acls
    assert not differs.extra_acls


def test_what_is_as_wanted_needs_nothing() -> None:
    assert difference(WANTED, WANTED).plan().empty


def test_a_changed_retention_is_set_back() -> None:
    orders = WANTED.topics["t1.orders"]
    found = with_topic("t1.orders", orders._replace(config={**orders.config, "retention.ms": "1000"}))
    assert difference(WANTED, found).settings == {"t1.orders": {"retention.ms": "604800000"}}


def test_a_setting_that_nobody_wanted_goes_back_to_the_default() -> None:
    orders = WANTED.topics["t1.orders"]
    found = with_topic("t1.orders", orders._replace(config={**orders.config, "compression.type": "gzip"}))
    assert difference(WANTED, found).settings == {"t1.orders": {"compression.type": None}}


def test_partitions_are_added_but_none_can_be_removed() -> None:
    orders = WANTED.topics["t1.orders"]
    fewer = difference(WANTED, with_topic("t1.orders", orders._replace(partitions=1)))
    more = difference(WANTED, with_topic("t1.orders", orders._replace(partitions=6)))
    assert fewer.more_partitions == {"t1.orders": 3}
    assert not more.plan().changes
    assert more.conflicts == ("the topic t1.orders has 6 partitions, not 3: none can be removed",)


def test_another_number_of_replicas_is_for_a_person_to_settle() -> None:
    orders = WANTED.topics["t1.orders"]
    found = with_topic("t1.orders", orders._replace(replicas=1))
    assert difference(WANTED, found).conflicts == (
        "the topic t1.orders has 1 replicas, not 3: reassign its partitions",
    )


def test_a_permission_too_many_goes_and_one_too_few_comes() -> None:
    extra = Acl("User:t1.fulfillment", "read", "topic", "t1.orders.billing")
    lost = Acl("User:t1.inventory", "read", "topic", "t1.orders")
    differs = difference(WANTED, replace(WANTED, acls=WANTED.acls - {lost} | {extra}))
    assert differs.new_acls == {lost}
    assert differs.extra_acls == {extra}


def test_a_user_too_many_is_left_alone() -> None:
    found = replace(WANTED, users=WANTED.users | {"t1.somebody"})
    assert difference(WANTED, found).plan().empty


@pytest.mark.parametrize(
    "acl",
    [
        Acl("User:t1.inventory", "read", "topic", "t1.orders"),
        Acl("User:t1.inventory", "read", "topic", "something.else"),
        Acl("User:mallory", "read", "topic", "t1.orders"),
        Acl("User:mallory", "read", "topic", "*"),
        Acl("User:mallory", "read", "topic", "t1.", "prefixed"),
        Acl("User:mallory", "read", "topic", "t", "prefixed"),
        Acl("User:mallory", "write", "transactional_id", "t1.inv", "prefixed"),
        Acl("User:*", "alter", "cluster", "kafka-cluster"),
        Acl("User:mallory", "alter", "cluster", "kafka-cluster"),
        Acl("User:t1.auditor", "describe", "cluster", "kafka-cluster"),
    ],
    ids=str,
)
def test_a_permission_that_reaches_into_the_namespace_is_its_concern(acl: Acl) -> None:
    assert touches(Names("t1"), acl)


@pytest.mark.parametrize(
    "acl",
    [
        Acl("User:t2.inventory", "read", "topic", "t2.orders"),
        Acl("User:inventory", "read", "topic", "orders"),
        Acl("User:t2.inventory", "write", "transactional_id", "t2.inventory.", "prefixed"),
        Acl("User:auditor", "describe", "cluster", "kafka-cluster"),
        Acl("User:t2.auditor", "describe", "cluster", "kafka-cluster"),
    ],
    ids=str,
)
def test_a_permission_of_another_namespace_is_not(acl: Acl) -> None:
    assert not touches(Names("t1"), acl)


def test_the_default_namespace_leaves_the_others_alone_too() -> None:
    others = desired(Names("t1"), brokers=3).acls
    assert not [acl for acl in others if touches(Names(), acl)]
    assert all(touches(Names(), acl) for acl in desired(Names(), brokers=3).acls)


def test_a_namespace_is_no_concern_of_any_other_one() -> None:
    others = desired(Names(), brokers=3).acls | desired(Names("t2"), brokers=3).acls
    assert not [acl for acl in others if touches(Names("t1"), acl)]
