"""What Strimzi and KEDA are told follows the contracts, and a change of these is seen as one."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import TOPICS, USERS, Names, Permission, Topic, permissions
from waybill.errors import UsageError
from waybill.kubernetes import brokers, command, scaling, secrets, strimzi
from waybill.provision.kafka import state
from waybill.stack import Stack
from waybill.token import Signer

ROOT = Path(__file__).parents[5]
KUBERNETES_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
OF_A_LAPTOP = {
    "log.cleaner.dedupe.buffer.size", "log.cleaner.io.max.bytes.per.second", "log.cleaner.threads", "num.io.threads",
    "num.network.threads", "num.replica.fetchers", "offsets.topic.num.partitions",
    "transaction.state.log.num.partitions",
}  # fmt: skip


def changed(manifests: Any) -> set[str]:
    """The files that a change of the contracts would change."""
    return {line.removeprefix("--- ").strip() for line in manifests.differences() if line.startswith("--- ")}


def test_the_files_are_what_the_contracts_say(manifests: Any) -> None:
    assert changed(manifests) == set()


def test_a_topic_that_is_not_in_the_manifests_is_seen(manifests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "TOPICS", (*TOPICS, Topic("orders.returns", "inventory")))
    assert changed(manifests) == {"kafka/topics.yaml"}


def test_a_grant_that_is_not_in_the_manifests_is_seen(manifests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    granted = Permission("fulfillment", "read", "topic", "orders.billing")
    monkeypatch.setattr(state, "permissions", lambda names: permissions(names) | {granted})
    assert changed(manifests) == {"kafka/users.yaml"}


def test_a_user_that_is_not_in_the_manifests_is_seen(manifests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "USERS", (*USERS, "returns"))
    assert changed(manifests) == {"kafka/users.yaml"}


def test_more_partitions_are_more_topics_disks_and_processes(manifests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    more = tuple(replace(topic, partitions=topic.partitions * 2) for topic in TOPICS)
    for module in (state, brokers, scaling):
        monkeypatch.setattr(module, "TOPICS", more)
    assert changed(manifests) == {"kafka/topics.yaml", "kafka/nodes.yaml", "scaling/scaling.yaml"}
    assert [scaling.most(service) for service in ("checkout", "inventory", "accounting", "fulfillment")] == [6, 6, 6, 6]


def test_the_check_says_what_differs_and_how_to_mend_it(
    manifests: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(state, "USERS", (*USERS, "returns"))
    assert manifests.main([]) == 1
    said = capsys.readouterr().out
    assert "+  name: returns" in said
    assert "make manifests" in said


def test_a_user_may_what_the_contracts_grant_and_nothing_else() -> None:
    (fulfillment,) = (it for it in strimzi.users() if it["metadata"]["name"] == "fulfillment")
    granted = {
        (acl["resource"]["type"], acl["resource"].get("name"), acl["resource"].get("patternType"), *acl["operations"])
        for acl in fulfillment["spec"]["authorization"]["acls"]
    }
    assert granted == {
        ("topic", "orders", "literal", "Describe", "Read"),
        ("topic", "orders.stock", "literal", "Describe", "Read"),
        ("topic", "orders.shipping", "literal", "Describe", "Write"),
        ("topic", "fulfillment.dead-letters", "literal", "Describe", "Write"),
        ("group", "fulfillment", "literal", "Read"),
        ("transactionalId", "fulfillment.", "prefix", "Describe", "Write"),
    }


def test_who_scales_sees_how_far_groups_are_and_reads_nothing() -> None:
    (user,) = (it for it in scaling.scaling() if it["kind"] == "KafkaUser")
    acls = user["spec"]["authorization"]["acls"]
    assert {operation for acl in acls for operation in acl["operations"]} == {"Describe"}
    assert {acl["resource"]["type"] for acl in acls} == {"topic", "group"}


def test_every_name_is_one_that_kubernetes_takes() -> None:
    names = [it["metadata"]["name"] for it in (*strimzi.topics(), *strimzi.users())]
    assert len(names) == len(TOPICS) + len(USERS)
    assert [name for name in names if not KUBERNETES_NAME.fullmatch(name)] == []


def test_brokers_are_set_as_on_a_machine_without_kubernetes(checks: Any) -> None:
    (source,) = (text for path in (ROOT / "infra/waybill/src").rglob("*.py")
                 if "transaction.state.log.min.isr={in_sync}" in (text := path.read_text()))  # fmt: skip
    told = dict(re.findall(r"^([a-z][a-z.]+)=(\S+)$", source, re.MULTILINE))
    ours = {name for name in told if not checks.agreement.is_strimzis(name)} - OF_A_LAPTOP
    assert {name: told[name].format(replicas=3, in_sync=2) for name in ours} == {
        name: json.dumps(value).strip('"') for name, value in brokers.CONFIG.items()
    }


def test_a_brokers_disk_holds_what_every_topic_may_keep() -> None:
    kept = sum(topic.partitions * (1 if topic.compacted else topic.retention_bytes / 2**30) for topic in TOPICS)
    assert kept < brokers.disk_gib() < 2 * kept


def test_images_have_the_version_that_the_project_has() -> None:
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for overlay in ("local", "prod"):
        told = yaml.safe_load((ROOT / "infra/kubernetes/overlays" / overlay / "kustomization.yaml").read_text())
        ours = {image["name"]: image["newTag"] for image in told["images"] if image["name"].startswith("waybill/")}
        assert set(ours.values()) == {version}


def test_the_secrets_of_a_cluster_are_made_once_and_kept(tmp_path: Path) -> None:
    first, second = secrets.manifest(tmp_path), secrets.manifest(tmp_path)
    assert first == second
    assert {it["metadata"]["name"]: set(it["data"]) for it in first["items"]} == {
        name: set(keys) for name, keys in secrets.files().items()
    }
    assert "\n" not in "".join(path.read_text() for path in tmp_path.glob("secrets/postgres-*"))


def test_secrets_are_printed_for_a_pipe_and_never_for_a_stack_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAYBILL_HOME", str(tmp_path))
    command.secrets()
    first = capsys.readouterr().out
    command.secrets()
    assert capsys.readouterr().out == first
    assert Signer(Stack.load(tmp_path)).customer("anna").count(".") == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(UsageError, match="no place for secrets"):
        command.secrets()
    of_this_machine = Stack.load(tmp_path).model_copy(update={"kafka_bootstrap": "127.0.0.1:18011"})
    (tmp_path / "stack.json").write_text(of_this_machine.model_dump_json())
    with pytest.raises(UsageError, match="another WAYBILL_HOME"):
        command.secrets()


def test_what_is_brought_along_is_told_of(checks: Any) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    brought = {**checks.secrets.BROUGHT, **secrets.files()}
    assert [name for name in brought if f"`{name}`" not in page and not name.startswith("postgres-")] == []
    assert Names().user("auditor") in page
