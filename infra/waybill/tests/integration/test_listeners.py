"""Who listens where, and who is let speak: every port of every process of a stack, as the kernel lists them."""

import asyncio
import ipaddress
import ssl
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from waybill.local import certificates, state
from waybill.local.layout import CLIENT, OPTIONS_FILE, Options
from waybill.stack import Stack

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0
ASK_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 7, -1)  # ApiVersions v0: what any listener of Kafka answers first
STRONG = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2)
WEAKEST = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"  # those without encryption, and without authentication, too


@dataclass(frozen=True)
class Port:
    """A port that a process of the stack listens on."""

    process: str
    address: str
    number: int


@pytest.fixture(scope="module")
def ports(stack: Stack) -> list[Port]:
    now = state.read(stack.home)
    assert now is not None
    return [
        Port(each.name, connection.laddr.ip, connection.laddr.port)
        for each in now.processes
        for connection in psutil.Process(each.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def of_kafka(ports: list[Port]) -> list[int]:
    return sorted({port.number for port in ports if port.process.startswith("kafka-")})


def client_ports(stack: Stack) -> set[int]:
    options = Options.model_validate_json((stack.home / OPTIONS_FILE).read_text())
    return {options.port(CLIENT + broker) for broker in range(options.brokers)}


async def answered(port: int, context: ssl.SSLContext | None) -> str:
    """Ask for a broker's versions; return the cipher that its answer came by, "" in the clear, or why none came."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            name = "localhost" if context else None
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
            try:
                writer.write(ASK_VERSIONS)
                await reader.readexactly(12)
                found = writer.get_extra_info("cipher")
                return found[0] if found else ""
            finally:
                writer.close()
    except (ssl.SSLError, OSError, asyncio.IncompleteReadError) as error:
        return f"refused: {type(error).__name__}"


def trusting(stack: Stack, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(stack.kafka_ca))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def old_fashioned(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that takes any cipher of one old version, and any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(WEAKEST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions, which is why they are tried
        context.minimum_version = context.maximum_version = version
    return context


async def of_each(ports: list[int], context: ssl.SSLContext | None) -> dict[int, str]:
    return dict(zip(ports, await asyncio.gather(*(answered(port, context) for port in ports)), strict=True))


def refused(answers: dict[int, str]) -> bool:
    return all(answer.startswith("refused: ") for answer in answers.values())


def test_everything_listens_on_loopback_alone(ports: list[Port]) -> None:
    assert {port.process.rstrip("0123456789") for port in ports} == {"postgres", "kafka-", "registry"}
    assert [port for port in ports if not _is_loopback(port.address)] == []


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or (isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None
                                  and parsed.ipv4_mapped.is_loopback)  # fmt: skip


async def test_every_listener_of_kafka_speaks_tls_1_3_and_nothing_else(stack: Stack, ports: list[Port]) -> None:
    listening = of_kafka(ports)
    assert len(listening) == 3 * stack.brokers
    assert refused(await of_each(listening, None))
    for version in OLD:
        assert refused(await of_each(listening, old_fashioned(version)))
    known = await of_each(listening, trusting(stack, stack.home / "tls" / "broker-1.pem"))
    assert set(known.values()) <= STRONG


async def test_brokers_and_controllers_answer_only_who_has_a_certificate_of_theirs(
    stack: Stack, ports: list[Port], tmp_path: Path
) -> None:
    among_brokers = sorted(set(of_kafka(ports)) - client_ports(stack))
    assert len(among_brokers) == 2 * stack.brokers
    certificates.ensure_certificates(tmp_path, brokers=1)  # of another authority, with a broker's name
    forged = tmp_path / "tls" / "broker-1.pem"
    assert refused(await of_each(among_brokers, trusting(stack)))
    assert refused(await of_each(among_brokers, trusting(stack, forged)))
