"""docker-compose.yml keeps what the local stack promises: limits, loopback, secrets to whom they belong, settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from waybill.compose.containers import STEPS
from waybill.compose.giving import USERS_OF, ensure_secrets, given
from waybill.compose.layout import GIVEN, SERVICES, Layout, inside
from waybill.local import postgres, shop
from waybill.local.layout import Options
from waybill.local.programs import FIRST
from waybill.local.registry import settings as registry_settings

ROOT = Path(__file__).parents[4]
FILE = (ROOT / "docker-compose.yml").read_text()
PROJECT: dict[str, Any] = yaml.safe_load(FILE)
CONTAINERS: dict[str, dict[str, Any]] = PROJECT["services"]
CORE = {name: about for name, about in CONTAINERS.items() if "profiles" not in about}
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
PORT = re.compile(r"127\.0\.0\.1:\$\{WAYBILL_COMPOSE_\w+_PORT:-\d+\}:\d+")
GIB = 1 << 30
OF_THE_IMAGE = {"WAYBILL_SERVICE", "WAYBILL_INSTANCE", "WAYBILL_HTTP_HOST", "WAYBILL_HTTP_PORT"}
OF_THE_USER = {"WAYBILL_LOG_LEVEL", "WAYBILL_ORDERS_MOST_AHEAD", "WAYBILL_RESERVATION_TTL_S"}


def limit(name: str) -> int:
    mebibytes = re.fullmatch(r"(\d+)m", CONTAINERS[name]["mem_limit"])
    assert mebibytes, f"{name} has no limit in MiB"
    return int(mebibytes[1]) << 20


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_bounded_and_contained(name: str) -> None:
    about = CONTAINERS[name]
    assert limit(name) > 0
    assert about["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "2"}}
    assert "container_name" not in about
    assert about["cap_drop"] == ["ALL"]
    assert about["security_opt"] == ["no-new-privileges:true"]
    assert about["read_only"] is True
    assert about["restart"] == ("no" if name in {*STEPS, "load"} else "unless-stopped")
    assert ":" in about["image"] or "build" in about
    assert not about["image"].endswith(":latest")


@pytest.mark.parametrize("name", CONTAINERS)
def test_ports_are_variables_and_on_loopback_alone(name: str) -> None:
    assert [port for port in CONTAINERS[name].get("ports", []) if not PORT.fullmatch(port)] == []


def test_the_core_needs_no_more_than_two_and_a_half_gibibytes_at_any_time() -> None:
    assert sum(limit(name) for name in CORE if name not in STEPS) <= 2.5 * GIB
    services = sum(limit(name) for name in ("gateway", *SERVICES))  # they start when the steps have ended
    assert limit("migrations") + limit("topics") <= services  # of the steps, these two alone run side by side


@pytest.mark.parametrize("name", CONTAINERS)
def test_who_keeps_running_is_asked_for_its_health_and_waits_for_who_prepares(name: str) -> None:
    about = CONTAINERS[name]
    if name not in STEPS and "profiles" not in about:
        assert about["healthcheck"]["test"][0] == "CMD"
    conditions = {each: it["condition"] for each, it in about.get("depends_on", {}).items()}
    assert conditions or name == "secrets"
    for each, condition in conditions.items():
        assert condition == ("service_completed_successfully" if each in STEPS else "service_healthy")


@pytest.mark.parametrize("name", CONTAINERS)
def test_only_who_makes_the_secrets_may_write_where_they_are(name: str) -> None:
    mounts = [each for each in CONTAINERS[name]["volumes"] if each.startswith("given:")]
    assert mounts == ["given:/run/waybill" if name == "secrets" else "given:/run/waybill:ro"]


@pytest.mark.parametrize("name", USERS_OF)
def test_who_is_given_secrets_runs_as_the_user_who_can_read_them(name: str) -> None:
    if name in CONTAINERS:  # the others are their images' own users
        assert CONTAINERS[name]["user"].split(":")[0] == str(USERS_OF[name])


def test_no_two_parts_share_a_user() -> None:
    assert len(set(USERS_OF.values())) == len(USERS_OF)


def environment(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in CONTAINERS[name]["environment"].items()}


@pytest.mark.parametrize("service", [shop.GATEWAY_SERVICE, *SERVICES])
def test_a_service_is_told_what_the_local_stack_tells_it(service: str) -> None:
    part = "gateway" if service == shop.GATEWAY_SERVICE else service
    told = {name: value for name, value in environment(part).items() if name not in OF_THE_USER}
    local = shop.environment(inside(Path("/home")), service, "1", 8000)
    files = {name for name in told if name.endswith("_FILE")}
    for name, value in told.items():
        if name in files:
            assert Path(value).name == Path(local[name]).name
        else:
            assert value == local[name]
    for name in local.keys() - told.keys() - OF_THE_IMAGE - set(shop.KEPT):
        assert name.startswith(("WAYBILL_GATEWAY", "WAYBILL_KAFKA")), f"{part} is not told {name}"


def test_checkout_takes_as_many_orders_ahead_as_locally() -> None:
    defaults = dict(VARIABLE.findall(FILE))
    assert {name: defaults[name] for name in shop.OF_A_LAPTOP} == shop.OF_A_LAPTOP


def test_whom_customers_wait_for_has_the_cpu_first_as_locally() -> None:
    running = {name: about.get("cpu_shares", 1024) for name, about in CORE.items() if name not in STEPS}
    assert {name for name, shares in running.items() if shares == 1024} == {"checkout", "postgres"}
    local = {service: shop.program(inside(Path("/home")), service, "1", 8000).niceness for service in SERVICES}
    assert {service for service, niceness in local.items() if niceness == FIRST} == {"checkout"}
    assert {shares for shares in running.values() if shares < 1024} == {PROJECT["x-behind"]}


@pytest.mark.parametrize("part", ["gateway", *SERVICES])
def test_a_service_finds_each_file_that_it_is_told_of_among_its_own(part: str, tmp_path: Path) -> None:
    ensure_secrets(tmp_path, Layout())
    own = {str(GIVEN / each.part / each.name) for each in given(tmp_path, Layout()) if each.part == part}
    told = {value for name, value in environment(part).items() if name.endswith("_FILE")}
    assert told <= own


def test_nobody_is_given_anothers_secret(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, Layout())
    everything = given(tmp_path, Layout())
    for service in shop.migrated():
        password = (tmp_path / "secrets" / f"postgres-{service}").read_text()
        holders = {each.part for each in everything if password in each.text}
        assert holders == {"gateway" if service == shop.GATEWAY_SERVICE else service, "operator"}
    operator = (tmp_path / "secrets" / "kafka-operator").read_text()
    assert {each.part for each in everything if operator in each.text} == {"operator"}


def test_postgresql_is_set_as_locally() -> None:
    local = postgres.settings(Options(home=Path("/h"), cache=Path("/c")))
    of_this_machine = ("port", "listen_addresses", "unix_socket_directories")
    wanted = [f"-c{name}={value}" for name, value in local.items() if name not in of_this_machine]
    assert CONTAINERS["postgres"]["command"] == ["postgres", *wanted]


def test_the_registry_is_set_as_locally() -> None:
    local = registry_settings(Options(home=Path("/h"), cache=Path("/c")))
    told = environment("registry")
    for name in ("apicurio.storage.kind", "apicurio.storage.sql.kind", "apicurio.datasource.username"):
        assert told[name.upper().replace(".", "_")] == local[name]


def test_every_variable_has_one_default_and_is_explained() -> None:
    explained = dict(re.findall(r"^#(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used: dict[str, set[str]] = {}
    for name, default in VARIABLE.findall(FILE):
        used.setdefault(name, set()).add(default)
    assert {name: next(iter(each)) for name, each in used.items() if len(each) == 1} == {
        name: value for name, value in explained.items() if name != "COMPOSE_PROJECT_NAME"
    }
    layout = Layout()
    for name, port in layout.ports.items():
        assert explained[f"WAYBILL_COMPOSE_{name.replace('-', '_').upper()}_PORT"] == str(port)
    assert Path(explained["WAYBILL_COMPOSE_HOME"]) == layout.home
    assert explained["COMPOSE_PROJECT_NAME"] == PROJECT["name"]
