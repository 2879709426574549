"""What each container is given: a folder of its own in one volume, whose files only its own user can read."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from contracts import AUDITOR, OPERATOR, USERS, Names
from waybill import secrets
from waybill.brokers import COMPILER, LOGGING, new_id, scram
from waybill.compose.layout import BROKERS, GIVEN, SERVICES, Layout, inside
from waybill.local import shop
from waybill.local.certificates import AUTHORITY_KEY, ensure_certificates
from waybill.local.keys import PUBLIC_KEYS, ensure_token_key
from waybill.provision.postgres.desired import desired_roles
from waybill.token.signing import Signer

READ_ONLY, ENTER_ONLY = 0o400, 0o500
GATEWAY = "gateway"
LOADING_CUSTOMERS = 50
NOBODYS = frozenset({AUTHORITY_KEY})  # it signs certificates where the home is
# docker-compose.yml says the same: `user` of each container, or the user of its image
USERS_OF = {
    "operator": 10_000,
    "kafka": 1_000,
    "postgres": 999,
    "registry": 185,
    GATEWAY: 10_060,
    "checkout": 10_100,
    "inventory": 10_110,
    "accounting": 10_120,
    "fulfillment": 10_130,
    "letters": 10_140,
    "kafka-ui": 10_080,
    "load": 12_345,
}


class Given(NamedTuple):
    """A file for one part: in its folder, under a name."""

    part: str
    name: str
    text: str


def ensure_secrets(home: Path, layout: Layout) -> None:
    """Make everything that is secret, and the certificates, where they are missing; and write where the stack is."""
    ensure_certificates(home, len(BROKERS))
    ensure_token_key(home)
    stack = layout.outside(home)
    shop.ensure_gateway_keys(stack)
    for user in (*USERS, OPERATOR):
        secrets.ensure(home, f"kafka-{user}")
    for role in (*desired_roles(Names()), OPERATOR):
        secrets.ensure(home, f"postgres-{role}")
    if not secrets.path_of(home, "cluster-id").exists():
        secrets.write(secrets.path_of(home, "cluster-id"), new_id())
    stack.save()


def given(home: Path, layout: Layout) -> list[Given]:
    """Return what every part is given, of a home that has it all."""

    def copy(part: str, *names: str) -> list[Given]:
        return [Given(part, name, secrets.read(home, name)) for name in names]

    password = secrets.read(home, "postgres-registry")
    kept = (each for each in secrets.path_of(home, "").iterdir() if each.name not in NOBODYS)
    operators = [each for each in kept if not each.name.startswith(".")]
    files = [
        *(Given("operator", f"secrets/{each.name}", each.read_text()) for each in operators),
        *(Given("operator", f"tls/{each}", (home / "tls" / each).read_text()) for each in ("ca.pem",)),
        *_kafka(home, layout),
        *copy("postgres", "postgres-operator"),
        Given("registry", "registry.properties", f"apicurio.datasource.password={password}\n"),
        *copy(GATEWAY, "postgres-payment_gateway", "gateway-keys.json", PUBLIC_KEYS),
        *copy("accounting", "gateway-key-accounting"),
        *_user_interface(home),
        *_load(home),
    ]
    for service in SERVICES:
        files += copy(service, f"kafka-{service}", PUBLIC_KEYS)
        files += copy(service, *([f"postgres-{service}"] if service in shop.migrated() else []))
        files.append(Given(service, "ca.pem", (home / "tls" / "ca.pem").read_text()))
    return files


def _kafka(home: Path, layout: Layout) -> list[Given]:
    operator = scram(OPERATOR, secrets.read(home, f"kafka-{OPERATOR}"))
    texts = {
        "ca.pem": (home / "tls" / "ca.pem").read_text(),
        "cluster-id": secrets.read(home, "cluster-id"),
        "operator.scram": operator,
        "log4j2.xml": LOGGING,
        "compiler.json": COMPILER,
    }
    for node, name in enumerate(BROKERS, start=1):
        texts[f"{name}.properties"] = layout.broker(node).properties()
        texts[f"broker-{node}.pem"] = (home / "tls" / f"broker-{node}.pem").read_text()
    return [Given("kafka", name, text) for name, text in texts.items()]


def _user_interface(home: Path) -> list[Given]:
    """Return kafka-ui's configuration: it reads as the auditor, and is told to change nothing. JSON is YAML too."""
    stack = inside(home)
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    password = secrets.read(home, f"kafka-{AUDITOR}")
    cluster = {
        "name": "waybill",
        "readOnly": True,
        "bootstrapServers": stack.kafka_bootstrap,
        "schemaRegistry": stack.registry_url,
        "properties": {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": f'{login} username="{AUDITOR}" password="{password}";',
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(GIVEN / "kafka-ui" / "ca.pem"),
        },
    }
    settings = json.dumps({"kafka": {"clusters": [cluster]}}, indent=1)
    authority = (home / "tls" / "ca.pem").read_text()
    return [Given("kafka-ui", "settings.yml", settings), Given("kafka-ui", "ca.pem", authority)]


def _load(home: Path) -> list[Given]:
    """Return tokens for those who order, since one customer's flood is refused, and one to stock the shelf."""
    signer = Signer(inside(home))
    customers = [signer.customer(f"load-{number}") for number in range(LOADING_CUSTOMERS)]
    return [Given("load", "customers.json", json.dumps(customers)), Given("load", "operator.token", signer.operator())]


def give(files: list[Given], volume: Path) -> None:
    """Write what each part is given where only its user can read it; what is as it should be stays untouched."""
    for file in files:
        owner = USERS_OF[file.part]
        path = volume / file.part / file.name
        for folder in reversed([each for each in path.parents if each.is_relative_to(volume) and each != volume]):
            folder.mkdir(exist_ok=True)
            _belongs(folder, owner, ENTER_ONLY)
        if not path.exists() or path.read_text() != file.text:
            secrets.write(path, file.text)
        _belongs(path, owner, READ_ONLY)


def belongs_to_its_folders_owner(home: Path) -> None:
    """Have everything in the home belong to whoever made the folder: the person who types `waybill`, not root."""
    owner = home.stat()
    for each in home.rglob("*"):
        if (each.stat().st_uid, each.stat().st_gid) != (owner.st_uid, owner.st_gid):
            os.chown(each, owner.st_uid, owner.st_gid)


def _belongs(path: Path, owner: int, mode: int) -> None:
    found = path.stat()
    if (found.st_uid, found.st_mode & 0o777) != (owner, mode):
        path.chmod(mode)
        os.chown(path, owner, owner)
