"""The pure parts of the local stack: what is asked for, what is refused, who can read a secret."""

import hashlib
import os
import re
import socket
import stat
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from waybill import secrets
from waybill.brokers import new_id, replicas
from waybill.errors import UsageError
from waybill.local import artifacts, kafka, state
from waybill.local.certificates import ensure_certificates
from waybill.local.layout import Options, checked
from waybill.stack import Stack

JAR = b"not really a jar"


def options(tmp_path: Path, **changes: object) -> Options:
    return Options.model_validate({"home": tmp_path / "home", "cache": tmp_path / "cache", **changes})


def lock_of(tmp_path: Path, sha256: str) -> Path:
    """A lock of one artifact that is in the cache already."""
    jar = tmp_path / "cache" / "maven" / "org" / "example" / "thing" / "1.0" / "thing-1.0.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(JAR)
    lock = tmp_path / "artifacts.lock"
    lock.write_text(f"# part coordinate sha256\nkafka org.example:thing:1.0:jar {sha256}\n")
    return lock


def test_an_artifact_that_is_the_locked_one_is_used(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, hashlib.sha256(JAR).hexdigest())
    assert [path.name for path in artifacts.fetch(tmp_path / "cache", lock)["kafka"]] == ["thing-1.0.jar"]


def test_an_artifact_with_another_checksum_is_refused_and_removed(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, "0" * 64)
    with pytest.raises(UsageError, match=r"org\.example:thing:1\.0:jar has sha256"):
        artifacts.fetch(tmp_path / "cache", lock)
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_the_committed_lock_names_kafka_and_the_registry_with_checksums() -> None:
    locked = artifacts.locked()
    assert {each.part for each in locked} == {"kafka", "registry"}
    assert all(len(each.sha256) == 64 for each in locked)
    assert any(each.coordinate.startswith("org.apache.kafka:kafka_2.13:4.3.1") for each in locked)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"{port} \(postgres\)"):
            options(tmp_path, base_port=port - 41).check_ports()


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    made = secrets.ensure(tmp_path, "kafka-operator")
    path = secrets.path_of(tmp_path, "kafka-operator")
    assert secrets.ensure(tmp_path, "kafka-operator") == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_link_where_a_secret_is_drafted_is_not_followed(tmp_path: Path) -> None:
    anothers = tmp_path / "anothers"
    anothers.write_text("as it was")
    (tmp_path / f".secret.{os.getpid()}").symlink_to(anothers)
    secrets.write(tmp_path / "secret", "a password")
    assert anothers.read_text() == "as it was"
    assert not (tmp_path / "secret").is_symlink()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        "anothers": "as it was",
        "secret": "a password",
    }


def test_keys_of_brokers_are_their_owners_alone(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, 3)
    stores = sorted((tmp_path / "tls").glob("broker-*.pem"))
    assert len(stores) == 3
    assert {stat.S_IMODE(store.stat().st_mode) for store in stores} == {0o600}


def test_certificates_are_made_once(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, 2)
    first = (tmp_path / "tls" / "ca.pem").read_text()
    ensure_certificates(tmp_path, 2)
    assert (tmp_path / "tls" / "ca.pem").read_text() == first


@pytest.mark.parametrize(("brokers", "expected"), [(1, (1, 1)), (2, (2, 1)), (3, (3, 2))])
def test_replication_follows_the_number_of_brokers(brokers: int, expected: tuple[int, int]) -> None:
    assert replicas(brokers) == expected


@pytest.mark.parametrize("wrong", ["till=2", "inventory", "inventory=0", "inventory=11", "inventory=two"])
def test_wrong_instances_are_refused_with_what_would_be_right(wrong: str) -> None:
    with pytest.raises(UsageError, match="--instances takes SERVICE"):
        checked("", [wrong])


def test_a_service_has_as_many_ports_as_processes(tmp_path: Path) -> None:
    asked = options(tmp_path, instances=checked("", ["inventory=2"]))
    assert asked.stack().services["inventory"] == ["http://127.0.0.1:18110", "http://127.0.0.1:18111"]


def test_a_home_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start one with `waybill up`"):
        Stack.load(tmp_path)


def test_a_home_belongs_to_one_supervisor(tmp_path: Path) -> None:
    lock = state.locked(tmp_path)
    assert lock is not None
    with lock:
        assert state.locked(tmp_path) is None


def test_no_id_of_kafka_looks_like_an_option() -> None:
    assert not any(new_id().startswith("-") for _ in range(1_000))


@pytest.mark.parametrize("code", [0, 1])
def test_the_operators_credential_is_on_no_command_line_and_its_file_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Whoever has the salted password comes in with it, as with the password."""
    folder = tmp_path / "home" / "kafka"
    ran: list[list[str]] = []

    def formatted(command: list[str]) -> subprocess.CompletedProcess[str]:
        assert "saltedpassword" not in " ".join(command)
        (file,) = (Path(word.removeprefix("@")) for word in command if word.startswith("@"))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        (salted,) = re.findall(r"saltedpassword=([^,]{80,}),", file.read_text())
        assert salted not in " ".join(command)
        ran.append(command)
        (folder / "1").mkdir()
        (folder / "1" / "meta.properties").touch()
        return subprocess.CompletedProcess(command, code, stdout="", stderr="no room")

    monkeypatch.setattr(kafka, "run_to_end", formatted)
    with pytest.raises(UsageError, match="can't be formatted: no room") if code else nullcontext():
        kafka.programs(options(tmp_path, brokers=1), [])
    assert len(ran) == 1
    assert {each.name for each in folder.iterdir()} == {"1", "1.properties", "compiler.json", "log4j2.xml"}
