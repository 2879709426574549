"""The programs do their work when told what the manifests tell them: each container run as a process of a real stack.

What Kubernetes would do stands here: files of secrets, names of hosts, one port a Pod.
"""

import asyncio
import base64
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contracts import SERVICES, USERS
from waybill.customers import Shop
from waybill.kubernetes.resource import CLUSTER_CA
from waybill.kubernetes.secrets import manifest
from waybill.local.layout import LOOPBACK
from waybill.placing import Placed, Purchase, place_in_order, settle
from waybill.stack import Stack
from waybill.testing import free_base_port
from waybill.watcher import Watcher

pytestmark = [pytest.mark.integration, pytest.mark.nightly]

ROOT = Path(__file__).parents[4]
DEADLINE_S = 60
SERVED = (*SERVICES, "letters", "gateway")


@dataclass
class Node:
    """Runs containers, as far as their programs can tell."""

    stack: Stack
    root: Path
    ports: dict[str, int]
    secrets: dict[str, dict[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        made = {it["metadata"]["name"]: it["data"] for it in manifest(self.stack.home)["items"]}
        self.secrets = {
            name: {key: base64.b64decode(value).decode() for key, value in keys.items()} for name, keys in made.items()
        }
        self.secrets |= {
            user: {"password": self.stack.secret(f"kafka-{user}")} for user in USERS
        }  # Strimzi makes these
        self.secrets[CLUSTER_CA] = {"ca.crt": self.stack.kafka_ca.read_text()}

    def _told(self, container: Any) -> dict[str, str]:
        """Return a container's environment, with its files laid where that says."""
        root = self.root / f"{container.pod.name}-{container.raw['name']}"
        for path, source in container.files.items():
            file = root / path.removeprefix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            if source.kind == "secret":
                file.write_text(self.secrets[source.name][source.key])
            else:
                file.write_text(self._here(json.loads(container.pod.maps[source.name][source.key]), file.parent))
        moved = {
            name: f"{root}{value}" if value.startswith("/run/") else value for name, value in container.env.items()
        }
        addresses = {
            "WAYBILL_HTTP_HOST": LOOPBACK,
            "WAYBILL_HTTP_PORT": str(self.ports.get(container.pod.name, 1)),
            "WAYBILL_KAFKA_BOOTSTRAP": self.stack.kafka_bootstrap,
            "WAYBILL_POSTGRES_HOST": self.stack.postgres_host,
            "WAYBILL_POSTGRES_PORT": str(self.stack.postgres_port),
            "WAYBILL_REGISTRY_URL": self.stack.registry_url,
            "WAYBILL_GATEWAY_URL": f"http://{LOOPBACK}:{self.ports['gateway']}",
        }
        kept = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
        return kept | moved | {name: value for name, value in addresses.items() if name in moved}

    def _here(self, described: dict[str, Any], home: Path) -> str:
        real = {"kafka_bootstrap", "postgres_host", "postgres_port", "registry_url"}
        described |= {"home": str(home)}
        described |= {name: getattr(self.stack, name) for name in real}
        return json.dumps(described | {"gateway_url": f"http://{LOOPBACK}:{self.ports['gateway']}"})

    def _command(self, container: Any) -> list[str]:
        words = [container.module, *container.words] if container.module else [f"{container.package}.main"]
        return [sys.executable, "-m", *words]

    def run(self, container: Any) -> str:
        """Run a container to its end; it must succeed."""
        done = subprocess.run(
            self._command(container), env=self._told(container), capture_output=True, text=True,
            timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{container}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, container: Any) -> Iterator[None]:
        """Run a container meanwhile."""
        log = (self.root / f"{container.pod.name}.log").open("w")
        with (
            log,
            subprocess.Popen(self._command(container), env=self._told(container), stdout=log, stderr=log) as process,
        ):
            try:
                yield
            finally:
                process.terminate()


async def ready(port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(DEADLINE_S):
        while True:
            try:
                async with session.get(f"http://{LOOPBACK}:{port}/health/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.2)


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(ROOT / "infra" / "checks")
    resources = importlib.import_module("cluster.rendering").build(ROOT / "infra" / "kubernetes" / "overlays" / "local")
    return {pod.name: pod for pod in importlib.import_module("cluster.pods").pods(resources)}


async def test_told_what_the_manifests_say_the_shop_provisions_sells_and_is_audited(
    stack: Stack, pods: dict[str, Any], tmp_path: Path
) -> None:
    base = free_base_port()
    node = Node(stack, tmp_path, {name: base + number for number, name in enumerate(SERVED)})
    for step in pods["provision"].containers:
        await asyncio.to_thread(node.run, step)
    with ExitStack() as running:
        for name in SERVED:
            *gate, service = pods[name].containers
            for step in gate:
                await asyncio.to_thread(node.run, step)
            running.enter_context(node.running(service))
        await asyncio.gather(*(ready(port) for port in node.ports.values()))
        urls = {name: [f"http://{LOOPBACK}:{node.ports[name]}"] for name in SERVICES}
        placed = Placed()
        async with Shop(stack.model_copy(update={"services": urls})) as shop:
            await shop.stock({"manifest-cup": (890, 10)})
            with Watcher(stack) as watcher:
                purchases = [
                    Purchase(f"anna-{each}", (("manifest-cup", 1),), "tok_ok", f"k-{each}") for each in range(5)
                ]
                await place_in_order(shop, purchases, 5, placed)
                assert await settle(watcher, placed.order_ids, DEADLINE_S) == 5
                assert set(watcher.statuses.values()) == {"shipped"}
        said = await asyncio.to_thread(node.run, pods["audit"].containers[0])
        assert "each order in one terminal state" in said
