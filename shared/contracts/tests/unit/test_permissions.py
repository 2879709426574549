"""Who may do what follows from who owns and who consumes which topic."""

from contracts import CONSUMES, EVENTS, SERVICES, TOPICS, Names, Permission, permissions, topics_consumed

DEFAULT = permissions(Names())


def writers(topic: str) -> set[str]:
    return {it.user for it in DEFAULT if it[1:4] == ("write", "topic", topic)}


def readers(topic: str) -> set[str]:
    return {it.user for it in DEFAULT if it[1:4] == ("read", "topic", topic)} - {"auditor"}


def test_every_topic_has_its_owner_as_the_only_writer_and_who_redrives_letters_where_somebody_consumes_it() -> None:
    consumed = {topic for service in SERVICES for topic in topics_consumed(service)}
    redriven = {topic.name: {"letters"} if topic.name in consumed else set() for topic in TOPICS}
    expected = {topic.name: {topic.owner} | redriven[topic.name] for topic in TOPICS}
    assert {topic.name: writers(topic.name) for topic in TOPICS} == expected


def test_who_redrives_letters_reads_letters_and_nothing_else_and_joins_no_group() -> None:
    letters = {it for it in DEFAULT if it.user == "letters"}
    assert {it.name for it in letters if it.operation == "read"} == {f"{service}.dead-letters" for service in SERVICES}
    assert {it.resource for it in letters} == {"topic"}
    assert not {it.name for it in letters if it.operation == "write"} & {"orders.status", "inventory.relay"}


def test_billing_is_written_by_accounting_read_by_those_who_need_it_and_closed_to_fulfillment() -> None:
    assert writers("orders.billing") - {"letters"} == {"accounting"}
    assert readers("orders.billing") == {"inventory", "checkout"}


def test_a_service_reads_what_it_consumes_and_its_own_relay_progress() -> None:
    progress = {"checkout": {"checkout.relay"}, "inventory": {"inventory.relay"}}
    for service in SERVICES:
        may_read = {it.name for it in DEFAULT if it[:3] == (service, "read", "topic")}
        assert may_read == topics_consumed(service) | progress.get(service, set())


def test_a_user_may_use_its_own_group_and_its_own_transactional_ids_only() -> None:
    for service in SERVICES:
        assert {it.name for it in DEFAULT if it[:3] == (service, "read", "group")} == {service}
        ids = {it for it in DEFAULT if it.user == service and it.resource == "transactional_id"}
        assert {(it.name, it.prefixed) for it in ids} == {(f"{service}.", True)}


def test_the_auditor_reads_every_topic_and_writes_nothing() -> None:
    auditor = {it for it in DEFAULT if it.user == "auditor"}
    assert {it.name for it in auditor if it.operation == "read"} == {topic.name for topic in TOPICS}
    assert {it.operation for it in auditor} == {"read", "describe"}


def test_permissions_of_two_namespaces_have_nothing_in_common() -> None:
    assert DEFAULT.isdisjoint(permissions(Names("t1")))
    assert Permission("t1.inventory", "read", "topic", "t1.orders") in permissions(Names("t1"))


def test_every_event_has_a_topic_that_exists_and_everything_consumed_is_an_event() -> None:
    known = {topic.name for topic in TOPICS}
    assert {event.topic for event in EVENTS} <= known
    assert {event for handled in CONSUMES.values() for event in handled} <= set(EVENTS)


def test_topics_that_one_service_consumes_have_the_same_number_of_partitions() -> None:
    partitions = {topic.name: topic.partitions for topic in TOPICS}
    for service in SERVICES:
        assert {partitions[name] for name in topics_consumed(service)} == {3}


def test_nobody_consumes_another_services_commands_or_dead_letters() -> None:
    for service in SERVICES:
        private = {name for name in topics_consumed(service) if name.endswith((".commands", ".dead-letters"))}
        assert all(name.startswith(f"{service}.") for name in private)
