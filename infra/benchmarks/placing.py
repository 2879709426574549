"""What accepting an order costs: checkout's POST beside FastAPI with one insert, in one run, in turns.

Tells the CPU that a request takes in the server and in PostgreSQL, and how long its answer took at a steady rate, in an
open loop: from the moment that it was due.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import aiohttp
import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric import ec
from side_by_side import Table, backends_s, compared, cpu_s, in_turns, medians
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.migrate import MigrationSettings, migrate
from exactly_once.testing import empty_database
from waybill.latency import percentiles_ms
from waybill.testing import free_base_port

CUSTOMERS = 200
CONNECTIONS = 64
DATABASE = "placing"
START_DEADLINE_S = 30.0
SERVERS = ("checkout", "bare")
TABLES = (
    "CREATE TABLE bare (id bigserial PRIMARY KEY, body text NOT NULL)",
    "INSERT INTO products VALUES ('cup', 'A cup', 250, 'EUR'), ('pot', 'A pot', 1999, 'EUR')",
)
ORDER = {"lines": [{"sku": "cup", "quantity": 2}, {"sku": "pot", "quantity": 1}], "payment_token": "tok_ok"}

Headers = dict[str, str]


class Load(NamedTuple):
    """So many requests a second, for so many seconds."""

    rate: float
    seconds: float


class Server(NamedTuple):
    """A server that runs."""

    process: psutil.Process
    url: str


async def compare(server: URL, load: Load, rounds: int) -> Table:
    """Offer the load to each server in turns; `server` is a PostgreSQL with nothing else to do."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="waybill-bench-")))
        customers = signed(folder)
        async with empty_database(server, DATABASE) as url:
            environment = await prepared(url, folder)
            base = free_base_port()
            ports = {name: base + place for place, name in enumerate(SERVERS)}
            servers = {name: opened.enter_context(running(name, port, environment)) for name, port in ports.items()}
            for each in servers.values():
                await answering(each.url)
            measures = {name: partial(measure, each, customers, load) for name, each in servers.items()}
            found = await in_turns(measures, rounds)
    told = (
        f"{load.rate:g} requests/s for {load.seconds:g} s a round, in an open loop, {rounds} rounds in turns behind a"
        " warm-up; milliseconds of CPU for a request, and from the moment that it was due to its answer; medians."
    )
    rows = {name: medians(runs) for name, runs in found.items()}
    return Table("placing", "Accepting an order", told, compared(rows, "CPU ms", "bare"))


async def prepared(url: URL, folder: Path) -> dict[str, str]:
    """Make the tables; return the environment of the servers."""
    password = folder / "password"
    password.write_text(str(url.password))
    where = {"host": url.host, "port": url.port, "database": url.database, "user": url.username}
    await asyncio.to_thread(migrate, "checkout", MigrationSettings.model_validate(where | {"password_file": password}))
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for statement in TABLES:
            await connection.execute(text(statement))
    await engine.dispose()
    own = {"WAYBILL_POSTGRES_PASSWORD_FILE": str(password), "WAYBILL_JWKS_FILE": str(folder / "jwks.json")}
    return own | {f"WAYBILL_POSTGRES_{name.upper()}": str(value) for name, value in where.items()}


def signed(folder: Path) -> list[Headers]:
    """Write a JWKS; return the headers of each customer."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [public | {"kid": "bench", "use": "sig"}]}))
    claims = {"iss": "waybill", "aud": "waybill", "scope": "orders", "exp": int(time.time()) + 3600}
    tokens = (jwt.encode(claims | {"sub": f"c{each}"}, key, "ES256", {"kid": "bench"}) for each in range(CUSTOMERS))
    return [{"Authorization": f"Bearer {token}", "Content-Type": "application/json"} for token in tokens]


@contextmanager
def running(name: str, port: int, environment: dict[str, str]) -> Iterator[Server]:
    """Run a server for the length of the block."""
    own = {"WAYBILL_SERVICE": name, "WAYBILL_HTTP_PORT": str(port)}
    program = Path(__file__).with_name("placing_server.py")
    process = subprocess.Popen([sys.executable, program, name], env=os.environ | environment | own)
    try:
        yield Server(psutil.Process(process.pid), f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


async def answering(url: str) -> None:
    """Wait until a server answers."""
    async with asyncio.timeout(START_DEADLINE_S), aiohttp.ClientSession() as session:
        while True:
            try:
                await session.get(url + "/openapi.json")
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
            else:
                return


async def measure(server: Server, customers: list[Headers], load: Load) -> dict[str, float]:
    """Offer a load; return milliseconds of CPU for a request, percentiles of the latency, and what was refused."""
    before = cpu_s(server.process), backends_s(DATABASE)
    took, refused = await offer(server.url, customers, load)
    spent = cpu_s(server.process) - before[0], backends_s(DATABASE) - before[1]
    server_ms, postgres_ms = (each * 1000 / (len(took) + refused) for each in spent)
    return {"CPU ms": server_ms, "PostgreSQL's CPU ms": postgres_ms, "refused": refused} | percentiles_ms(took)


async def offer(url: str, customers: list[Headers], load: Load) -> tuple[list[float], int]:
    """Send every request at its moment; return how long those that were accepted took, and how many were not."""
    took, run, body, total = list[float](), uuid.uuid4().hex, json.dumps(ORDER), round(load.rate * load.seconds)

    async def send(number: int, due: float) -> None:
        headers = customers[number % CUSTOMERS] | {"Idempotency-Key": f"{run}-{number}"}
        async with session.post(f"{url}/v1/orders", data=body, headers=headers) as answer:
            await answer.read()
            if answer.status == HTTPStatus.ACCEPTED:
                took.append(time.monotonic() - due)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        began = time.monotonic()
        for number in range(total):
            due = began + number / load.rate
            await asyncio.sleep(due - time.monotonic())
            group.create_task(send(number, due))
    return took, total - len(took)
