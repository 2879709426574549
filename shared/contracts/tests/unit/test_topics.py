"""Retention and replication of topics."""

import pytest

from contracts import TOPICS, Topic

BY_NAME = {topic.name: topic for topic in TOPICS}
WEEK_MS = "604800000"


def test_an_order_is_kept_a_week_and_its_topic_is_capped() -> None:
    config = BY_NAME["orders"].config(3)
    assert config["cleanup.policy"] == "delete"
    assert config["retention.ms"] == WEEK_MS
    assert int(config["retention.bytes"]) > 0


@pytest.mark.parametrize("name", ["orders.status", "products", "checkout.relay", "inventory.relay"])
def test_what_only_the_latest_matters_of_is_compacted(name: str) -> None:
    assert BY_NAME[name].compacted
    assert BY_NAME[name].config(3)["cleanup.policy"] == "compact"


@pytest.mark.parametrize(("brokers", "replicas", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (5, 3, "2")])
def test_replication_follows_the_number_of_brokers(brokers: int, replicas: int, in_sync: str) -> None:
    topic = Topic("orders", "checkout")
    assert topic.replicas(brokers) == replicas
    assert topic.config(brokers)["min.insync.replicas"] == in_sync


def test_a_dead_letter_has_room_for_the_largest_record_packed_far_better_than_we_do() -> None:
    largest = max(topic.max_record_bytes for topic in TOPICS if not topic.name.endswith(".dead-letters"))
    for topic in TOPICS:
        if topic.name.endswith(".dead-letters"):
            assert topic.max_record_bytes >= 16 * largest
