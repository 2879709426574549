"""One broker without the rest of a stack, provisioned, that knows its clients in the way that is asked for."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exactly_once import Auth
from waybill.local import artifacts, issuing, kafka, keys
from waybill.local.layout import Options, cache_folder
from waybill.local.programs import Program, die_with_parent
from waybill.provision import provision_kafka
from waybill.stack import STACK_FILE, Stack
from waybill.testing import free_base_port

DEADLINE_S = 60.0


@contextmanager
def lone_broker(auth: Auth) -> Iterator[Options]:
    """Run one broker; yield what it was asked to be, its home being that of a stack."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        options = Options(
            home=home, cache=cache_folder(), base_port=free_base_port(), brokers=1, auth=auth, with_services=False
        )
        stack = options.stack()
        (home / STACK_FILE).write_text(stack.model_dump_json())
        issuing.prepare(stack)
        keys.ensure_token_key(home)
        (program,) = kafka.programs(options, artifacts.fetch(options.cache)["kafka"])
        with (home / "kafka.log").open("wb") as log, _running(program, log.fileno()):
            asyncio.run(_provisioned(program, stack))
            yield options


@contextmanager
def _running(program: Program, log: int) -> Iterator[None]:
    process = subprocess.Popen(
        program.command,
        stdout=log,
        stderr=log,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # it takes no lock that another thread could hold
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


async def _provisioned(program: Program, stack: Stack) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (why := await program.health()) is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(why)
        await asyncio.sleep(0.1)
    await provision_kafka(stack)
