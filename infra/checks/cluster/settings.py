"""What containers are told is what their programs understand: names, values, and files that are there."""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from chassis.migrate import MigrationSettings
from cluster.pods import LABEL, Container, pods, services
from contracts import Names
from waybill.cli import COMMANDS
from waybill.kubernetes.resource import Resource
from waybill.local.layout import SERVICES
from waybill.local.shop import GATEWAY_SERVICE, migrated
from waybill.stack import STACK_FILE, Stack

PREFIX, MIGRATIONS = "WAYBILL_", "WAYBILL_POSTGRES_"
LIBRARIES = {
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
}  # asyncpg's, OpenTelemetry's
DATABASES = (MIGRATIONS, "PGSSL")
ALL_SERVICES, WITH_DATABASE = {GATEWAY_SERVICE, *SERVICES}, migrated()
MAPS = re.compile("(settings|database)-")
HOME, GATE = "WAYBILL_HOME", "chassis.migrated"


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield what a program of ours would not understand, or not find."""
    for pod in services(resources):
        if pod.labels[LABEL] not in ALL_SERVICES:
            yield f"{pod}: there is no service {pod.labels[LABEL]}"
        elif pod.labels[LABEL] in WITH_DATABASE and all(each.module != GATE for each in pod.containers):
            yield f"{pod}: does not wait for its migrations"
    for container in (each for pod in pods(resources) for each in pod.containers if each.package):
        if container.package in ALL_SERVICES:
            yield from _service(container)
        elif container.package != "operator":
            yield f"{container}: there is no image waybill/{container.package}"
        yield from _command(container)


def _service(container: Container) -> Iterator[str]:
    package = str(container.package)
    if package != container.pod.labels[LABEL]:
        yield f"{container}: runs {package}"
    settings: type[BaseSettings] = importlib.import_module(f"{package}.settings").Settings
    yield from _told(container, settings, PREFIX)
    names = Names(container.env.get("WAYBILL_NAMESPACE", ""))
    wanted = {"WAYBILL_SERVICE": package}
    if package in WITH_DATABASE:
        wanted |= {
            "WAYBILL_POSTGRES_USER": names.role(package),
            "WAYBILL_POSTGRES_DATABASE": names.database(package),
        }
    else:
        told = sorted(name for name in container.env if name.startswith(DATABASES))
        yield from (f"{container}: {name} tells of a database, and it has none" for name in told)
    if package in SERVICES and not container.module:  # two of one instance's name would fence each other
        wanted |= {"WAYBILL_KAFKA_USER": names.user(package), "WAYBILL_INSTANCE": container.pod.own_name}
    for name, value in wanted.items():
        if container.env.get(name) != value:
            yield f"{container}: {name} is {container.env.get(name)}, not {value}"


def _command(container: Container) -> Iterator[str]:
    match container.module, container.words:
        case "", _:
            return
        case (("chassis.migrate" | "chassis.migrated"), [str(service)]) if service in WITH_DATABASE:
            yield from _told(container, MigrationSettings, MIGRATIONS)
            if (database := container.env.get("WAYBILL_POSTGRES_DATABASE")) != Names().database(service):
                yield f"{container}: migrates {service} in the database {database}"
        case "waybill", [str(command), *_] if command in COMMANDS:
            yield from _home(container)
        case module, words:
            yield f"{container}: nothing of ours is started by {module} {' '.join(words)}"


def _told(container: Container, settings: type[BaseSettings], prefix: str) -> Iterator[str]:
    fields, env = settings.model_fields, container.env
    given = {name.removeprefix(prefix).lower(): value for name, value in env.items() if name.startswith(prefix)}
    runs_it = settings is MigrationSettings or not container.module
    yield from (f"{container}: lacks {prefix}{name.upper()}" for name, field in fields.items()
                if runs_it and field.is_required() and name not in given)  # fmt: skip
    if settings is not MigrationSettings:
        unknown = {name for name in given if name not in fields}
        unknown |= {name for name in env if not name.startswith(prefix) and name not in LIBRARIES}
        yield from (f"{container}: there is no setting {name}" for name in sorted(unknown))
    try:
        read = settings.model_validate({name: value for name, value in given.items() if name in fields})
    except ValidationError as error:
        wrong = [problem for problem in error.errors() if problem["type"] != "missing"]
        yield from (f"{container}: {prefix}{str(each['loc'][0]).upper()}: {each['msg']}" for each in wrong)
        return
    yield from _files(container, read)


def _files(container: Container, settings: BaseSettings) -> Iterator[str]:
    of_kafka = container.package in SERVICES and not container.module
    for name, value in settings:
        if isinstance(value, Path) and value != Path() and (of_kafka or not name.startswith("kafka_")):
            needed = container.module != "chassis.migrated" or name.startswith("password")
            if needed and str(value) not in container.files:
                yield f"{container}: {name} is {value}, which nothing puts there"
    if (authority := container.env.get("PGSSLROOTCERT")) and authority not in container.files:
        yield f"{container}: PGSSLROOTCERT is {authority}, which nothing puts there"


def _home(container: Container) -> Iterator[str]:
    """Compare the stack that the waybill command is told of with what the services are told."""
    file = str(PurePosixPath(container.env.get(HOME, "?")) / STACK_FILE)
    source = container.files.get(file)
    if source is None or source.kind != "configMap":
        yield f"{container}: {HOME} has no {STACK_FILE}"
        return
    text = container.pod.maps[source.name][source.key]
    try:
        stack = Stack.model_validate_json(text)
    except ValidationError as error:
        yield f"{container}: {STACK_FILE}: {error}"
        return
    settings: Mapping[str, Any] = dict(
        pair for name, it in container.pod.maps.items() if MAPS.match(name) for pair in it.items()
    )
    if told := stack.services.keys() ^ SERVICES.keys():
        yield f"{container}: {STACK_FILE} says otherwise than the shop whether there is {', '.join(sorted(told))}"
    same = {
        "WAYBILL_KAFKA_BOOTSTRAP": stack.kafka_bootstrap,
        "WAYBILL_POSTGRES_HOST": stack.postgres_host,
        "WAYBILL_POSTGRES_PORT": str(stack.postgres_port),
        "WAYBILL_REGISTRY_URL": stack.registry_url,
    }
    for name, value in same.items():
        if settings.get(name) != value:
            yield f"{container}: {STACK_FILE} says {value}, the services' {name} {settings.get(name)}"
