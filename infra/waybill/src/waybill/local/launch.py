"""Runs the shop's services in a namespace of a stack that runs already, or one more beside its own: for tests."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from waybill.local import shop
from waybill.local.layout import LOOPBACK, SERVICES
from waybill.local.runner import Runner
from waybill.stack import Stack

HEALTH_DEADLINE_S = 60.0


@asynccontextmanager
async def services(stack: Stack, only: tuple[str, ...] = ()) -> AsyncIterator[Stack]:
    """Migrate and start the gateway and the services (or some) of a provisioned namespace; yield it with their URLs."""
    names = [service for service in SERVICES if not only or service in only]
    ports = {name: _free_port() for name in (shop.GATEWAY_SERVICE, *names)}
    running = stack.model_copy(
        update={
            "services": {name: [f"http://{LOOPBACK}:{ports[name]}"] for name in names},
            "gateway_url": f"http://{LOOPBACK}:{ports[shop.GATEWAY_SERVICE]}",
        }
    )
    await asyncio.gather(*(_migrate(running, name) for name in ports if name in shop.migrated()))
    async with _kept(Runner(shop.program(running, name, "1", port), stack.home) for name, port in ports.items()):
        yield running


@asynccontextmanager
async def another(stack: Stack, service: str, instance: str) -> AsyncIterator[str]:
    """Start one more process of a service beside those of a stack; yield its URL."""
    port = _free_port()
    async with _kept([Runner(shop.program(stack, service, instance, port), stack.home)]):
        yield f"http://{LOOPBACK}:{port}"


@asynccontextmanager
async def _kept(programs: Iterable[Runner]) -> AsyncIterator[None]:
    """Keep programs running for the length of the block, which begins when all are healthy."""
    runners = list(programs)
    keeping = [asyncio.create_task(runner.keep()) for runner in runners]
    try:
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            await asyncio.gather(*(_healthy(runner) for runner in runners))
        yield
    finally:
        await asyncio.gather(*(runner.end() for runner in runners))
        await asyncio.gather(*keeping)


async def _healthy(runner: Runner) -> None:
    while True:
        if runner.healthy:
            return
        await asyncio.sleep(0.1)


async def _migrate(stack: Stack, service: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chassis.migrate", service, env=shop.migration_environment(stack, service)
    )
    if await process.wait():
        raise RuntimeError(f"{service}'s database can't be migrated")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
