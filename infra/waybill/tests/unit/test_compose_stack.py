"""The stack in containers, as far as it goes without Docker: what is in the way, who can read what, how a part is."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from waybill import secrets
from waybill.brokers import Broker
from waybill.compose import giving, prepare
from waybill.compose.containers import part_of, step_that_failed
from waybill.compose.docker import COMPOSE_FILE, Docker, environment_file, project_folder
from waybill.compose.layout import Layout, read_layout
from waybill.compose.parts import ComposeParts
from waybill.compose.premises import check_memory, check_ports, check_secrets, check_versions
from waybill.errors import UsageError
from waybill.parts import Wanted
from waybill.stack import Stack
from waybill.stacks import choose, chosen
from waybill.testing import free_base_port

GIB = 1 << 30
NO_COMPOSE = """#!/bin/sh
echo "unknown flag: $2

Usage:  docker [OPTIONS] COMMAND [ARG...]

Run 'docker --help' for more information" >&2
exit 125
"""

DOCKER = """#!/bin/sh
echo "$@" >> "$0.asked"
case "$*" in
  "version "*) echo {engine} ;;
  "compose version "*) echo {compose} ;;
  "info "*) echo {memory} ;;
  *" config "*) echo '{{"volumes": {{}}, "services": {{"kafka-1": {{}}}}}}' ;;
  "compose up "*|*" logs "*)
    trap 'echo it was ended >> "$0.asked"; exit 1' TERM
    echo Docker is at work >&2
    while :; do sleep 0.05; done ;;
esac
"""
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, **found: Any) -> None:
    """Put a Docker on the PATH that answers so, and notes what it was asked; and choose ports that are free."""
    docker = folder / "docker"
    docker.write_text(DOCKER.format(**{"engine": "28.2.2", "compose": "5.6.1", "memory": 8 * GIB, **found}))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    for name in Layout().ports:
        monkeypatch.setenv(f"WAYBILL_COMPOSE_{name.replace('-', '_').upper()}_PORT", str(free_base_port()))


def inspected(name: str = "inventory", **state: Any) -> dict[str, Any]:
    usual = {"Status": "running", "Running": True, "Pid": 0, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:01.5Z"}
    labels = {"com.docker.compose.service": name}
    return {"Id": "c0ffee", "Config": {"Labels": labels}, "State": {**usual, **state}}


def how(name: str = "inventory", **state: Any) -> tuple[str, str | None]:
    part = part_of(inspected(name, **state), {"inventory": 19110})
    assert part is not None
    return part.state, part.why


def health(status: str, said: str = "") -> dict[str, Any]:
    return {"Status": status, "Log": [{"ExitCode": 1, "Output": said}] if said else []}


def test_a_container_is_as_docker_finds_it_and_says_why_not() -> None:
    assert how(Health=health("healthy")) == ("healthy", None)
    assert how(Health=health("starting")) == ("starting", "it has just started")
    assert how(Health=health("unhealthy", "no\nloop: Kafka is away\n")) == ("unhealthy", "loop: Kafka is away")
    assert how(Status="restarting", Running=False, ExitCode=3) == ("restarting", "it ended with 3")
    assert how(Status="exited", Running=False, ExitCode=0) == ("stopped", "stopped, with 0")
    assert how(Status="exited", Running=False, OOMKilled=True)[0] == "unhealthy"
    assert how(Status="created", Running=False) == ("starting", "it has not started")


def test_a_part_has_its_port_and_the_time_of_its_start() -> None:
    part = part_of(inspected(), {"inventory": 19110})
    assert part is not None
    assert (part.port, part.started_at) == (19110, 1_767_225_601.0)


def test_a_pid_that_is_another_process_here_is_not_told() -> None:
    part = part_of(inspected(Pid=1), {})  # this machine's own first process
    assert part is not None
    assert part.pid is None


def test_a_step_that_ended_well_is_no_part_and_one_that_did_not_is_named() -> None:
    assert part_of(inspected("topics", Status="exited", Running=False), {}) is None
    assert step_that_failed([inspected("topics", Status="exited", ExitCode=0)]) == ""
    assert step_that_failed([inspected("topics", Status="exited", ExitCode=2)]).startswith("topics ended with 2")


@pytest.mark.parametrize(
    ("engine", "compose", "said"),
    [("19.03.15", "5.6.1", "Docker 19.03.15 is too old"), ("28.2.2", "v2.17.3", "docker compose v2.17.3 is too old")],
)
def test_an_old_docker_is_refused_with_what_is_needed(engine: str, compose: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_versions(engine, compose)


def test_a_docker_that_is_young_enough_is_taken() -> None:
    check_versions("20.10.24+dfsg1", "2.24.0")
    check_versions("28.2.2", "5.6.1")


def test_too_little_memory_is_refused_with_what_is_needed() -> None:
    check_memory(3 * GIB)
    with pytest.raises(UsageError, match=r"Docker has 2048 MiB of memory, the stack needs 2560"):
        check_memory(2 * GIB)


def test_data_without_its_secrets_is_refused_before_anything_starts(tmp_path: Path) -> None:
    check_secrets(tmp_path, set())  # the first start
    with pytest.raises(UsageError, match="the secret postgres-operator is missing"):
        check_secrets(tmp_path, {"postgres", "given"})
    for name in ("postgres-operator", "kafka-operator"):
        secrets.ensure(tmp_path, name)
    check_secrets(tmp_path, {"postgres"})


def test_the_first_step_refuses_too_where_docker_was_asked_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "operator").mkdir()
    monkeypatch.setattr(prepare, "HOME", tmp_path / "home")
    monkeypatch.setattr(prepare, "OPERATOR", tmp_path / "operator")
    assert prepare.main("secrets") == 2
    assert capsys.readouterr().err.startswith("waybill: the secrets of this stack are gone")
    assert not (tmp_path / "home").exists()


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^these ports are taken: .*{port} \(kafka-2\)"):
            check_ports(Layout(kafka_2_port=port))


def test_a_port_that_is_none_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_COMPOSE_CHECKOUT_PORT", "many")
    with pytest.raises(UsageError, match="WAYBILL_COMPOSE_CHECKOUT_PORT is no port: 'many'"):
        read_layout()


def test_the_environment_goes_before_the_file_as_with_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("WAYBILL_COMPOSE_CHECKOUT_PORT=1\nWAYBILL_COMPOSE_POSTGRES_PORT=2\nOTHER=x\n")
    monkeypatch.setenv("WAYBILL_COMPOSE_CHECKOUT_PORT", "3")
    layout = read_layout(environment_file(tmp_path))
    assert (layout.checkout_port, layout.postgres_port, layout.registry_port) == (3, 2, 19_051)


def test_without_docker_or_its_plugin_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no `docker` on the PATH"):
        Docker(tmp_path).compose("version")
    (tmp_path / "docker").write_text(NO_COMPOSE)
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(UsageError, match="Docker has no compose plugin"):
        Docker(tmp_path).compose("--profile", "*", "ps")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"engine": "19.03.15"}, "Docker 19.03.15 is too old: this needs 20.10 or later"),
        ({"compose": "2.17.3"}, "docker compose 2.17.3 is too old: this needs 2.24 or later"),
        ({"memory": 2 * GIB}, "Docker has 2048 MiB of memory, the stack needs 2560"),
        ({}, r"these ports are taken: \d+ \(checkout\)"),
    ],
)
def test_what_is_in_the_way_is_said_before_docker_is_asked_to_start_anything(
    found: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, **found)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("WAYBILL_COMPOSE_CHECKOUT_PORT", str(taken.getsockname()[1]))
        with pytest.raises(UsageError, match=f"^{said}"):
            ComposeParts(tmp_path).bring_up(Wanted())
    asked = (tmp_path / "docker.asked").read_text()
    assert "compose version" in asked
    assert "compose up" not in asked


def told(folder: Path, number: signal.Signals, words: tuple[str, ...]) -> tuple[int, str, list[str]]:
    """Run a command in a project, tell it to end while Docker is at work; what it ended with, said, and asked."""
    (folder / COMPOSE_FILE).touch()
    command = [sys.executable, "-m", "waybill", *words, "--stack=compose"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "Docker is at work\n"
        running.send_signal(number)
        _, said = running.communicate(timeout=10)  # and whoever else it had started has ended
    return running.returncode, said, (folder / "docker.asked").read_text().splitlines()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_half_way_through_up_takes_down_what_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    stand_in(tmp_path, monkeypatch)
    ended, said, asked = told(tmp_path, number, ("up",))
    assert (ended, said) == (code, "taking down what has started\n")
    assert asked.index("it was ended") < asked.index("compose --profile * down --remove-orphans")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_docker_too_where_a_log_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    stand_in(tmp_path, monkeypatch)
    ended, said, asked = told(tmp_path, number, ("logs", "--follow", "kafka-1"))
    assert (ended, said, asked[-1]) == (code, "", "it was ended")


def test_outside_the_project_a_sentence_says_what_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no docker-compose\.yml here or above"):
        project_folder()


def test_an_option_of_the_local_stack_is_refused() -> None:
    choose("compose")
    with pytest.raises(UsageError, match=r"^--brokers, --base-port: for the local stack alone"):
        chosen().bring_up(Wanted(typed=("brokers", "base_port")))
    choose("local")


def test_a_home_that_was_moved_or_mounted_elsewhere_is_still_a_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    giving.ensure_secrets(home, Layout(checkout_port=free_base_port()))
    found = Stack.load(home)
    moved = tmp_path / "moved"
    home.rename(moved)
    assert Stack.load(moved).home == moved
    assert Stack.load(moved).services == found.services
    assert Stack.load(moved).kafka_ca.exists()


def test_what_is_given_is_readable_by_its_part_alone_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = tmp_path.stat()
    monkeypatch.setattr(giving, "USERS_OF", dict.fromkeys(giving.USERS_OF, me.st_uid))
    giving.ensure_secrets(tmp_path / "home", Layout())
    files = giving.given(tmp_path / "home", Layout())
    volume = tmp_path / "volume"
    volume.mkdir()
    giving.give(files, volume)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in volume.rglob("*") if each.is_file()}
    folders = {stat.S_IMODE(each.stat().st_mode) for each in volume.rglob("*") if each.is_dir()}
    assert (modes, folders) == ({0o400}, {0o500})
    before = {each: each.stat().st_mtime_ns for each in volume.rglob("*.pem")}
    giving.give(giving.given(tmp_path / "home", Layout()), volume)
    assert {each: each.stat().st_mtime_ns for each in volume.rglob("*.pem")} == before


def test_a_broker_in_containers_has_the_operators_credential_on_no_command_line(tmp_path: Path) -> None:
    script = (Path(__file__).parents[3] / "docker" / "broker.sh").read_text()
    assert re.findall(r"\S*operator\.scram\S*", script) == ['"@$given/operator.scram"']  # kafka-storage reads it
    giving.ensure_secrets(tmp_path, Layout())
    (given,) = (each for each in giving.given(tmp_path, Layout()) if each.name == "operator.scram")
    option, credential = given.text.splitlines()
    assert (option, credential.startswith("SCRAM-SHA-512=[name=operator,salt=")) == ("--add-scram", True)


def test_a_broker_in_containers_is_told_what_a_local_one_is_but_for_addresses() -> None:
    told: Broker = Layout(kafka_2_port=24_012).broker(2)
    lines = told.properties().splitlines()
    assert "advertised.listeners=CLIENT://kafka-2:9092,HOST://127.0.0.1:24012,INTERNAL://kafka-2:9094" in lines
    assert "controller.quorum.voters=1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093" in lines
    assert "listener.security.protocol.map=CLIENT:SASL_SSL,HOST:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL" in lines
    assert len([line for line in lines if line.endswith("ScramLoginModule required;")]) == 2
