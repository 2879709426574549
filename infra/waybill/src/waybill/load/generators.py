"""The processes that offer orders side by side."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from waybill.errors import UsageError
from waybill.load.generator import Outcome, Task, generate
from waybill.load.plan import Plan
from waybill.stack import Stack

LEAD_S = 0.2  # between the word to begin and the first order


class Generators:
    """Processes that offer a plan together, and end with the block in which they were started."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def begin(self) -> float:
        """Have all begin at one moment of `time.monotonic`, which is returned."""
        moment = time.monotonic() + LEAD_S
        for pipe in self._pipes:
            pipe.send(moment)
        return moment

    async def outcome(self) -> Outcome:
        """Wait until every order was answered, and return what came of all together."""
        whole = Outcome()
        for each in await self._hear():
            whole.add(each)
        return whole

    async def ready(self) -> None:
        """Wait until each could begin."""
        await self._hear()

    async def _hear(self) -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(_heard, pipe) for pipe in self._pipes))


@contextmanager
def started(stack: Stack, plan: Plan, run: str, sku: str, processes: int) -> Iterator[Generators]:
    """Start processes that offer a plan together; they are killed at the end of the block, if they still run."""
    spawning = multiprocessing.get_context("spawn")
    with ExitStack() as opened:
        pipes = []
        for number in range(processes):
            ours, theirs = spawning.Pipe()
            task = Task(stack, plan, run, sku, first=number, step=processes)
            process = spawning.Process(target=generate, args=(task, theirs), daemon=True)
            process.start()
            theirs.close()
            opened.callback(process.join)
            opened.callback(process.kill)
            pipes.append(ours)
        yield Generators(pipes)


def _heard(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise UsageError("a process that offered orders has ended before its time") from None
