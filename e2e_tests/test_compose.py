"""The shop in containers: the same commands say the same of it, and its containers die as processes do."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waybill.compose.images import missing
from waybill.compose.testing import environment
from waybill.driver import Ended, Waybill
from waybill.testing import free_base_port

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[1]
DOCKER = shutil.which("docker") or ""
SERVICES = ("checkout", "inventory", "accounting", "fulfillment", "payment_gateway")
BASE = "python:3.11-slim-bookworm"
MEGABYTE = 1_000_000
BUILD_DEADLINE_S = 900
REBUILT_S = 20.0
RECOVERY_S = 60.0
AS_KAFKA_UI = r"""
sed -nE 's/^ +"([a-z.]+)": "(.*)",?$/\1=\2/p' /run/waybill/kafka-ui/settings.yml | sed 's/\\"/"/g' > /tmp/client
"/opt/kafka/bin/$0" --bootstrap-server kafka-1:9092 --command-config /tmp/client "$@"
"""


class Compose(Waybill):
    """The command, for a project of its own."""

    def __init__(self, folder: Path) -> None:
        self.began = int(time.time())
        base = free_base_port()
        super().__init__(folder / "home", base, **environment(folder / "home", base))

    def ask_docker(self, *words: str, deadline_s: float = 120, folder: Path = ROOT) -> Ended:
        """How Docker's own command ends, in the project."""
        done = subprocess.run(
            [DOCKER, *words], cwd=folder, env=self.environment, capture_output=True, text=True, timeout=deadline_s,
            check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    def docker(self, *words: str, deadline_s: float = 120, folder: Path = ROOT) -> str:
        """What Docker's own command prints."""
        ended = self.ask_docker(*words, deadline_s=deadline_s, folder=folder)
        assert ended.code == 0, ended.err
        return ended.out

    def image(self, service: str) -> str:
        """Which image the compose file gives a service, of whatever profile."""
        services: dict[str, Any] = json.loads(self.docker("compose", "--profile", "*", "config", "--format", "json"))[
            "services"
        ]
        return str(services[service]["image"])

    def parts(self) -> dict[str, dict[str, Any]]:
        """The containers by name, as `waybill status` has them."""
        return {each["name"]: each for each in self("status", "--json").data["processes"]}


@pytest.fixture(scope="module")
def waybill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if why := missing(ROOT):
        pytest.fail(why)
    command = Compose(tmp_path_factory.mktemp("compose"))
    command.docker("compose", "build", "--quiet", deadline_s=BUILD_DEADLINE_S)
    yield command
    command.docker("compose", "--profile", "*", "down", "--volumes", "--remove-orphans")


def test_the_file_is_one_that_compose_takes_with_every_profile(waybill: Compose) -> None:
    config = json.loads(waybill.docker("compose", "--profile", "*", "config", "--format", "json"))
    published = [port for about in config["services"].values() for port in about.get("ports", [])]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_small_and_its_service_is_nobody_in_particular(waybill: Compose, service: str) -> None:
    base, built = (json.loads(waybill.docker("image", "inspect", image))[0] for image in (BASE, f"waybill/{service}"))
    assert built["Size"] - base["Size"] <= 130 * MEGABYTE
    assert built["Config"]["User"] not in {"", "0", "root"}


def test_a_change_of_code_is_in_its_image_before_patience_ends(waybill: Compose, tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(".*"))
    with (tmp_path / "copy/services/checkout/src/checkout/domain.py").open("a") as source:
        source.write("# changed\n")
    how = ("--quiet", "--file", "infra/docker/service.Dockerfile", "--build-arg", "SERVICE=checkout")
    began = time.monotonic()
    image = waybill.docker("build", *how, ".", folder=tmp_path / "copy").strip()
    assert time.monotonic() - began <= REBUILT_S
    waybill.docker("image", "rm", image)


def test_a_broker_and_a_service_die_in_the_middle_of_the_demo_and_the_audit_is_clean(waybill: Compose) -> None:
    demo = waybill.start("demo", "--json", "--orders", "400")
    told = []
    assert demo.stderr is not None
    for line in demo.stderr:
        told.append(line)
        if line.startswith("placing"):
            break
    assert told[-1].startswith("placing"), "".join(told)
    before = waybill.parts()
    for name in ("kafka-2", "inventory"):
        os.kill(before[name]["pid"], signal.SIGKILL)
    out, err = demo.communicate(timeout=300)
    assert demo.returncode == 0, "".join(told) + err + out[-4000:]
    data = json.loads(out)
    assert data["outcomes"] == data["expected"]
    assert data["audit"]["ok"]
    (healthy_after,) = re.findall(r"everything is healthy after (\d+) s", "".join(told))
    assert int(healthy_after) <= 90
    restarted(waybill, before, "kafka-2", "inventory")


def restarted(waybill: Compose, before: dict[str, dict[str, Any]], *names: str) -> None:
    """Wait until Docker has started these again, and they are well."""
    deadline = time.monotonic() + RECOVERY_S
    while time.monotonic() < deadline:
        now = waybill.parts()
        if all(now[name]["state"] == "healthy" and now[name]["pid"] != before[name]["pid"] for name in names):
            return
        time.sleep(0.5)
    raise AssertionError({name: waybill.parts()[name] for name in names})


def test_everything_is_healthy_and_small_and_a_second_up_is_refused(waybill: Compose) -> None:
    status = waybill("status", "--json")
    assert status.code == 0, status.out
    assert {each["state"] for each in status.data["processes"]} == {"healthy"}
    assert status.data["rss_bytes"] < 2.5 * 2**30
    assert refused(waybill("up")).startswith("waybill: the stack of ")


def refused(ended: Ended) -> str:
    """The one sentence of a command that was refused."""
    assert ended.code == 2, ended
    (sentence,) = ended.err.strip().splitlines()
    return sentence


def test_a_service_stopped_by_name_ends_by_itself_and_stays_down_until_it_is_started(waybill: Compose) -> None:
    assert waybill("stop", "fulfillment").code == 0
    stopped = waybill.parts()["fulfillment"]
    assert (stopped["state"], stopped["pid"]) == ("stopped", None)
    assert stopped["why"] in {"stopped, with 0", "stopped, with 143"}  # not killed after the grace
    started = waybill("start", "fulfillment")
    assert started.code == 0, started.err
    assert waybill("status").code == 0


def test_nothing_has_drifted_from_the_contracts(waybill: Compose) -> None:
    checked = waybill("provision", "--check", "--json")
    assert checked.code == 0, checked.out


def test_the_operators_door_to_dead_letters_opens_with_the_profile_of_tools(waybill: Compose) -> None:
    waybill.docker("compose", "--profile", "tools", "up", "--detach", "--wait", "letters", deadline_s=BUILD_DEADLINE_S)
    listed = waybill("dlq", "list", "--json")
    assert listed.code == 0, listed.err
    readers = ("accounting", "fulfillment", "inventory")  # of the topic that the demo poisons
    assert sorted((each["service"], each["state"]) for each in listed.data["letters"]) == [
        (each, "open") for each in readers
    ]


def test_what_the_view_of_kafka_is_given_reads_and_may_change_nothing(waybill: Compose, tmp_path: Path) -> None:
    """By Kafka's own tools, which take the same settings, as the user and on the network of kafka-ui's container."""
    other = tmp_path / "image.yml"
    other.write_text(f"services: {{kafka-ui: {{image: '{waybill.image('kafka-1')}'}}}}\n")

    def topics(*words: str) -> Ended:
        files = ("--file", "docker-compose.yml", "--file", str(other))
        run = ("--profile", "tools", "run", "--rm", "--no-deps", "--no-TTY", "--entrypoint", "bash", "kafka-ui")
        return waybill.ask_docker("compose", *files, *run, "-c", AS_KAFKA_UI, "kafka-topics.sh", *words)

    listed = topics("--list")
    assert "orders" in listed.out.split(), listed.err
    for change in (("--create", "--topic", "mine"), ("--delete", "--topic", "orders")):
        ended = topics(*change)
        assert "AuthorizationException" in ended.out + ended.err
    assert "orders" in topics("--list").out.split()


def test_k6_places_orders_with_the_profile_of_load(waybill: Compose) -> None:
    if why := missing(ROOT, [waybill.image("load")]):
        pytest.skip(why)
    before = waybill("audit", "--json").data["orders"]
    rate = ("--env", "RATE=20", "--env", "DURATION=5s", "--env", "RAMP=1s")
    said = waybill.docker("compose", "--profile", "load", "run", "--rm", "--no-TTY", *rate, "load")
    (placed,) = re.findall(r"\biterations\.+: (\d+)", said)
    assert int(placed) in range(108, 113)  # 10 of the rise, 100 of the steady load
    audit = waybill("audit", "--json")
    assert audit.code == 0, audit.out
    assert audit.data["orders"] - before == int(placed) + 1  # the first one tries whether the product is known


def test_the_key_that_signs_tokens_is_changed_for_the_containers_too(waybill: Compose) -> None:
    assert waybill("token", "--rotate-key").code == 0
    load = waybill("load", "--rate", "20", "--duration", "4", "--warm-up", "1", "--json")
    assert load.code == 0, load.err
    assert (load.data["accepted"], load.data["refused"]) == (80, 0)
    assert {"kafka-1", "postgres", "checkout"} <= load.data["cpu_ms_per_order"].keys()


def test_passwords_and_certificates_are_changed_for_the_containers_too(waybill: Compose) -> None:
    for words in (("password", "inventory"), ("password", "operator"), ("certificate", "kafka-2")):
        rotated = waybill("rotate", *words, "--json")
        assert rotated.code == 0, rotated.err
        assert rotated.data["behind"] == {}
    before = waybill.parts()
    for word in ("stop", "start"):  # who was connected has to prove anew who it is, and the broker what it is
        for name in ("kafka-2", "inventory"):
            assert waybill(word, name).code == 0
    restarted(waybill, before, "kafka-2", "inventory")
    load = waybill("load", "--rate", "20", "--duration", "2", "--warm-up", "1", "--json")
    assert load.code == 0, load.err
    assert (load.data["accepted"], load.data["refused"]) == (40, 0)


def test_no_secret_can_be_read_outside_its_file(waybill: Compose) -> None:
    files = [each for each in (waybill.home / "secrets").iterdir() if each.name != "jwks.json"]
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    ids = waybill.docker("compose", "ps", "--all", "--quiet").split()
    seen = waybill.docker("inspect", *ids) + waybill.docker("compose", "logs", "--no-color")
    for pid in (each["pid"] for each in waybill.parts().values()):
        seen += Path(f"/proc/{pid}/environ").read_text(errors="replace")
        seen += Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    marks = {line: each.name for each in files for line in re.findall(r"[A-Za-z0-9_+/=-]{32,}", each.read_text())}
    assert len(marks) > 10
    assert [name for mark, name in marks.items() if mark in seen] == []


def test_a_container_reads_nobody_elses_secrets_and_can_write_nothing(waybill: Compose) -> None:
    def within(service: str, what: str) -> int:
        return waybill.ask_docker("compose", "exec", "--no-TTY", service, "python", "-c", what).code

    own = "open('/run/waybill/inventory/kafka-inventory').read()"
    assert within("inventory", own) == 0
    assert within("checkout", own) == 1
    assert within("inventory", "open('/app/mark', 'w')") == 1
    assert within("inventory", "open('/run/waybill/mark', 'w')") == 1


def test_nobody_needed_more_memory_than_its_limit(waybill: Compose) -> None:
    project = f"label=com.docker.compose.project={waybill.environment['COMPOSE_PROJECT_NAME']}"
    span = ("--since", str(waybill.began), "--until", str(int(time.time())))
    told = waybill.docker("events", *span, "--filter", "event=oom", "--filter", project, "--format", "{{json .Actor}}")
    assert told == ""


def test_what_is_in_the_way_is_said_before_anything_starts(waybill: Compose) -> None:
    logs = waybill("logs", "checkout", "-n", "3")
    assert len(logs.out.splitlines()) == 3
    assert "there is no container chekout; there are " in refused(waybill("logs", "chekout"))
    assert waybill("down").code == 0
    assert waybill("status").code == 1

    secret = waybill.home / "secrets" / "postgres-operator"
    kept = secret.rename(secret.with_name("kept"))
    assert "the secret postgres-operator is missing" in refused(waybill("up"))
    assert waybill.ask_docker("compose", "up", "--wait").code != 0
    assert "the secrets of this stack are gone" in waybill.docker("compose", "logs", "secrets")
    assert waybill.docker("compose", "ps", "--quiet").split() == []
    kept.rename(secret)
    assert waybill("down").code == 0

    with socket.create_server(("127.0.0.1", waybill.base_port)) as taken:
        assert f"these ports are taken: {taken.getsockname()[1]} (kafka-1);" in refused(waybill("up"))
    assert waybill.docker("compose", "ps", "--all", "--quiet").split() == []
