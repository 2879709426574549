"""What a Kafka broker of ours is told, wherever it runs: properties, compiler, log, first credential."""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exactly_once import Auth
from waybill.local import listeners

COPIES = 3  # they want as many brokers
SCRAM_ITERATIONS = 4_096

_SERVER = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
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
# at full speed all brokers clean the same partition at once, and none answers for seconds: docs/performance.md
log.cleaner.io.max.bytes.per.second=1000000
"""

COMPILER = """\
[
  {"match": ["com/sun/crypto/provider/*.*", "sun/security/*.*", "java/util/zip/*.*"], "c2": {"Exclude": false}},
  {"match": "*.*", "c2": {"Exclude": true}}
]
"""

LOGGING = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %m (%c{1})%n"/></Console></Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
  </Loggers>
</Configuration>
"""


BETWEEN_BROKERS = ("INTERNAL", "CONTROLLER")


class Endpoint(NamedTuple):
    """Where a broker listens: its name, `bind` as Kafka takes it (an empty host is every address), what others call it.

    INTERNAL and CONTROLLER ask for a broker's certificate; any other is for clients, who are known as `auth` says.
    """

    name: str
    bind: str
    advertised: str = ""


class Broker(NamedTuple):
    """A broker that is a controller too; `voters` are the controllers' host:port, the first one's of node 1.

    `tls` is the folder of its key store and of the authority, `issuer` the home of who signs its clients' tokens.
    """

    node: int
    voters: Sequence[str]
    listeners: Sequence[Endpoint]
    data: Path
    tls: Path
    auth: Auth = "scram"
    issuer: Path = Path()

    def properties(self) -> str:
        """Return its server.properties."""
        nodes = range(1, len(self.voters) + 1)
        copies, in_sync = replicas(len(self.voters))
        return _SERVER.format(
            node=self.node,
            voters=",".join(f"{each}@{voter}" for each, voter in zip(nodes, self.voters, strict=True)),
            listeners=",".join(f"{each.name}://{each.bind}" for each in self.listeners),
            advertised=",".join(f"{each.name}://{each.advertised}" for each in self.listeners if each.advertised),
            protocols=",".join(f"{each.name}:{self._protocol(each)}" for each in self.listeners),
            clients=listeners.properties(
                self.auth, self.issuer, [each.name for each in self.listeners if each.name not in BETWEEN_BROKERS]
            ),
            data=self.data,
            keystore=self.tls / f"broker-{self.node}.pem",
            truststore=self.tls / "ca.pem",
            super_users=";".join(["User:operator", *(f"User:broker-{each}" for each in nodes)]),
            replicas=copies,
            in_sync=in_sync,
        )

    def _protocol(self, endpoint: Endpoint) -> str:
        return "SSL" if endpoint.name in BETWEEN_BROKERS else listeners.protocol(self.auth)


def replicas(brokers: int) -> tuple[int, int]:
    """Return the replication factor and the minimum of replicas in sync for a number of brokers."""
    return (COPIES, 2) if brokers >= COPIES else (brokers, 1)


def new_id() -> str:
    """Return a Kafka id: a random UUID in URL-safe base64, without a dash in front, as Kafka's own are."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def scram(user: str, password: str) -> str:
    """Return the arguments by which kafka-storage adds a credential (RFC 5802), one a line.

    They are for a file that only its owner reads, given as `@FILE`: on a command line everybody on the machine sees
    them, and whoever has the salted password comes in with it, as with the clear text.
    """
    salt = secrets.token_bytes(24)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, SCRAM_ITERATIONS)
    fields = f"salt={_b64(salt)},saltedpassword={_b64(salted)},iterations={SCRAM_ITERATIONS}"
    return f"--add-scram\nSCRAM-SHA-512=[name={user},{fields}]\n"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
