"""Provisioning on the real stack: done once, found when it drifts, put right."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Any

import aiohttp
import asyncpg
import pytest
from confluent_kafka.admin import AdminClient
from typer import Typer
from typer.testing import CliRunner

from contracts import USERS, ProductListed
from exactly_once.avro import full_name
from waybill import provision, secrets, seen
from waybill.errors import UsageError
from waybill.provision import command, kafka
from waybill.provision.kafka.broker import Broker
from waybill.provision.kafka.difference import KafkaDifference
from waybill.provision.kafka.state import Acl
from waybill.seen import behind, lets_in
from waybill.stack import Stack

pytestmark = pytest.mark.integration

Drift = Callable[[Stack], Awaitable[None]]
NONE = KafkaDifference({}, {}, {}, frozenset(), frozenset(), frozenset(), ())
DEADLINE_S = 60.0


async def found_by_check(stack: Stack) -> list[tuple[str, str, str]]:
    """Return the drift that a check finds, as soon as it finds any (admin calls are not read-your-writes)."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if changes := (await provision.plan(stack)).changes:
                return [(change.action, change.kind, change.name) for change in changes]
            await asyncio.sleep(0.05)


async def in_database(stack: Stack, service: str, statement: str) -> None:
    connection = await asyncpg.connect(stack.postgres_dsn(service, "operator"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def in_kafka(stack: Stack, difference: KafkaDifference) -> None:
    await Broker(stack.kafka_client("operator"), stack.names).make(difference, str)


async def in_registry(stack: Stack, method: str, path: str, body: dict[str, str] | None = None) -> None:
    async with aiohttp.ClientSession() as session:
        data = json.dumps(body) if body else None
        header = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        async with session.request(method, stack.registry_url + path, data=data, headers=header) as answer:
            assert answer.status == 200, await answer.text()


def subject(stack: Stack) -> str:
    return stack.names.subject("products", full_name(ProductListed))


def acl_of_fulfillment(stack: Stack) -> Acl:
    user = f"User:{stack.names.user('fulfillment')}"
    return Acl(user, "read", "topic", stack.names.topic("orders.billing"))


def acl_of_inventory(stack: Stack) -> Acl:
    return Acl(f"User:{stack.names.user('inventory')}", "read", "topic", stack.names.topic("orders"))


async def an_extra_permission(stack: Stack) -> None:
    await in_kafka(stack, replace(NONE, new_acls=frozenset({acl_of_fulfillment(stack)})))


async def a_lost_permission(stack: Stack) -> None:
    await in_kafka(stack, replace(NONE, extra_acls=frozenset({acl_of_inventory(stack)})))


async def a_changed_retention(stack: Stack) -> None:
    await in_kafka(stack, replace(NONE, settings={stack.names.topic("orders"): {"retention.ms": "1000"}}))


async def a_setting_of_ones_own(stack: Stack) -> None:
    await in_kafka(stack, replace(NONE, settings={stack.names.topic("orders"): {"compression.type": "gzip"}}))


async def a_missing_schema(stack: Stack) -> None:
    await in_registry(stack, "DELETE", f"/subjects/{subject(stack)}")
    await in_registry(stack, "DELETE", f"/subjects/{subject(stack)}?permanent=true")


async def a_loose_compatibility(stack: Stack) -> None:
    await in_registry(stack, "PUT", f"/config/{subject(stack)}", {"compatibility": "NONE"})


async def a_dropped_privilege(stack: Stack) -> None:
    role = stack.names.role("inventory")
    await in_database(stack, "inventory", f"REVOKE USAGE ON SCHEMA public FROM {role}")


async def an_extra_privilege(stack: Stack) -> None:
    role = stack.names.role("checkout")
    await in_database(stack, "inventory", f"GRANT CONNECT ON DATABASE {stack.names.database('inventory')} TO {role}")


async def a_lost_default(stack: Stack) -> None:
    role = stack.names.role("auditor")
    await in_database(stack, "inventory", f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM {role}")


async def a_superuser(stack: Stack) -> None:
    await in_database(stack, "inventory", f"ALTER ROLE {stack.names.role('inventory')} SUPERUSER")


async def another_password(stack: Stack) -> None:
    await in_database(stack, "inventory", f"ALTER ROLE {stack.names.role('inventory')} PASSWORD 'another'")


async def an_unbounded_transaction(stack: Stack) -> None:
    await in_database(stack, "inventory", f"ALTER ROLE {stack.names.role('inventory')} RESET transaction_timeout")


async def a_lent_role(stack: Stack) -> None:
    await in_database(stack, "inventory", f"GRANT pg_write_all_data TO {stack.names.role('auditor')}")


@pytest.mark.parametrize(
    ("drift", "action", "kind", "name"),
    [
        (an_extra_permission, "remove", "permission", "User:{}fulfillment allow read on topic {}orders.billing"),
        (a_lost_permission, "create", "permission", "User:{}inventory allow read on topic {}orders"),
        (a_changed_retention, "alter", "settings", "{}orders"),
        (a_setting_of_ones_own, "alter", "settings", "{}orders"),
        (a_missing_schema, "create", "schema", "{}products-waybill.ProductListed"),
        (a_loose_compatibility, "alter", "compatibility", "{}products-waybill.ProductListed"),
        (a_dropped_privilege, "create", "privilege", "{}inventory on schema public in {}inventory"),
        (an_extra_privilege, "remove", "privilege", "{}checkout on database {}inventory"),
        (a_lost_default, "create", "privilege", "{}auditor on default operator/public/tables in {}inventory"),
        (a_superuser, "alter", "role", "{}inventory"),
        (another_password, "alter", "role", "{}inventory"),
        (an_unbounded_transaction, "alter", "role", "{}inventory"),
        (a_lent_role, "remove", "membership", "{}auditor in pg_write_all_data"),
    ],
    ids=lambda it: it.__name__ if callable(it) else "",
)
async def test_drift_is_found_by_a_check_and_put_right(
    namespaced_stack: Stack, drift: Drift, action: str, kind: str, name: str
) -> None:
    prefix = f"{namespaced_stack.namespace}{'_' if kind in {'privilege', 'role', 'membership'} else '.'}"
    await drift(namespaced_stack)
    assert (action, kind, name.replace("{}", prefix)) in await found_by_check(namespaced_stack)
    await provision.apply(namespaced_stack)
    assert (await provision.plan(namespaced_stack)).empty


async def test_a_second_apply_changes_nothing(namespaced_stack: Stack) -> None:
    assert (await provision.apply(namespaced_stack)).empty


async def test_a_check_of_a_namespace_that_is_not_there_lists_everything_and_makes_nothing(stack: Stack) -> None:
    nowhere = stack.in_namespace("nowhere")
    first, second = await provision.plan(nowhere), await provision.plan(nowhere)
    kinds = {change.kind for change in first.changes}
    assert kinds == {"role", "database", "privilege", "user", "topic", "permission", "schema", "compatibility"}
    assert first == second
    assert not secrets.path_of(stack.home, "kafka-nowhere.inventory").exists()


async def test_one_namespace_leaves_the_others_as_they_are(namespaced_stack: Stack) -> None:
    others = (namespaced_stack.in_namespace(""), namespaced_stack)
    before = [await provision.plan(other) for other in others]
    await provision.apply(namespaced_stack.in_namespace(f"n{time.time_ns() % 10**12}"))
    assert [await provision.plan(other) for other in others] == before
    assert before[1].empty


async def test_partitions_too_many_are_for_a_person_to_settle(stack: Stack) -> None:
    mine = stack.in_namespace(f"p{time.time_ns() % 10**12}")
    await provision.apply(mine)
    await in_kafka(mine, replace(NONE, more_partitions={mine.names.topic("orders"): 6}))
    wanted = (f"the topic {mine.namespace}.orders has 6 partitions, not 3: none can be removed",)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if (found := await provision.apply(mine)).conflicts:
                break
            await asyncio.sleep(0.05)
    assert found.conflicts == wanted
    assert (await provision.plan(mine)).conflicts == wanted


async def test_a_topic_so_new_that_a_broker_does_not_know_it_is_one_to_look_for_again(
    namespaced_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lists topics may be told of one by a broker, and describe it to another that is a moment behind."""
    early = namespaced_stack.in_namespace("early")
    known = namespaced_stack.names.topic("orders")
    as_it_is = AdminClient.list_topics

    def a_moment_ahead(client: AdminClient, **options: Any) -> Any:
        metadata = as_it_is(client, **options)
        metadata.topics[early.names.topic("orders")] = metadata.topics[known]
        return metadata

    monkeypatch.setattr(AdminClient, "list_topics", a_moment_ahead)
    assert not (await Broker(early.kafka_client("operator"), early.names).read()).topics


async def test_it_ends_once_every_broker_that_runs_knows_what_is_new(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is a moment behind would refuse a service, that starts at once, what it was just granted."""
    monkeypatch.setattr(kafka, "SETTLE_S", 6.0)
    monkeypatch.setattr(seen, "ANSWER_S", 0.5)
    asked: dict[str, set[str]] = {}

    def noted(client: dict[str, Any], topics: Collection[str]) -> Callable[[str], bool]:
        asked[client["sasl.username"]] = set(topics)
        return lets_in(client, topics)

    monkeypatch.setattr(kafka, "lets_in", noted)
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        mine = stack.in_namespace(f"s{time.time_ns() % 10**12}")
        mine = mine.model_copy(update={"kafka_bootstrap": f"{stack.kafka_bootstrap},{place}"})
        with pytest.raises(UsageError, match="Kafka took the changes, but kafka-4 did not learn of them"):
            await provision.apply(mine, ["kafka"])
    assert asked.keys() == {mine.names.user(user) for user in USERS}
    assert mine.names.topic("orders.shipping") in asked[mine.names.user("fulfillment")]
    await in_kafka(mine, replace(NONE, extra_acls=frozenset({acl_of_inventory(mine)})))
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if (await provision.apply(mine, ["kafka"])).changes:  # who is down will know before it listens
                break
            await asyncio.sleep(0.05)


async def test_a_broker_that_does_not_tell_a_user_of_its_topics_is_behind(namespaced_stack: Stack) -> None:
    names, client = namespaced_stack.names, namespaced_stack.kafka_client("fulfillment")
    assert behind(namespaced_stack, lets_in(client, {names.topic("orders.shipping")}), deadline_s=0) == []
    unknown = behind(namespaced_stack, lets_in(client, {names.topic("orders.billing")}), deadline_s=0)
    assert unknown == ["kafka-1", "kafka-2", "kafka-3"]


async def test_users_are_never_deleted(namespaced_stack: Stack) -> None:
    await in_kafka(namespaced_stack, replace(NONE, new_users=frozenset({namespaced_stack.names.user("somebody")})))
    assert (await provision.apply(namespaced_stack)).empty
    found = await Broker(namespaced_stack.kafka_client("operator"), namespaced_stack.names).read()
    assert namespaced_stack.names.user("somebody") in found.users


def run(stack: Stack, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    app = Typer()
    app.command()(command.provision)
    monkeypatch.setattr(Stack, "load", lambda: stack)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout


def test_the_command_exits_with_1_on_drift_and_with_0_once_it_is_put_right(
    namespaced_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(a_dropped_privilege(namespaced_stack))
    code, printed = run(namespaced_stack, monkeypatch, "--check", "--json")
    assert code == 1
    assert json.loads(printed)["changes"][0]["kind"] == "privilege"
    assert run(namespaced_stack, monkeypatch)[0] == 0
    assert run(namespaced_stack, monkeypatch, "--check") == (0, "Nothing to do: everything is as the contracts say.\n")


def test_parts_that_others_provide_are_left_to_them(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = stack.in_namespace("parts")
    code, printed = run(mine, monkeypatch, "--only", "postgres", "--only", "registry", "--json")
    assert code == 0
    assert {change["part"] for change in json.loads(printed)["changes"]} == {"postgres", "registry"}
    assert run(mine, monkeypatch, "--check", "--only", "postgres")[0] == 0
    code, printed = run(mine, monkeypatch, "--check", "--json")
    assert code == 1
    assert {change["part"] for change in json.loads(printed)["changes"]} == {"kafka"}


def test_a_part_that_there_is_not_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="--only takes one of postgres, kafka, registry, not zookeeper"):
        command.parts_of(["postgres", "zookeeper"])
