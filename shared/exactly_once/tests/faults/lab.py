"""The process that faults are done to. `python -m …lab` forks a process for each plan on its standard input.

Each child runs the relay and the loop of the tally until SIGTERM; at its plan's point it ends itself with SIGKILL.
What it imports is rewritten by `points`; forking spares the imports.
"""

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from shared.exactly_once.tests.faults import points

STATEMENT_PATIENCE_S = 5.0
NOTED = 2  # passages of each point
PUBLISHING = "loop.Loop._publish:self._producer.publish"
DECIDING = "loop.Loop._consume:self._decide"
DECIDED = f"{DECIDING}:after"
READ = "reading.Reading._read:self._consumer.poll:after"
ONE_AHEAD = "a batch was decided while another was published"
READ_AHEAD = "a poll ended while a batch was decided"


class Plan(NamedTuple):
    """What a child shall do."""

    dsn: str
    schema: str
    kafka: dict[str, str]
    registry: str
    notes: str  # a file: each point as it is passed for the first and the second time, and what else was seen
    crash: str = ""  # the point to die at
    passage: int = 1  # at which passage
    instance: str = "1"
    stops: bool = False  # stop (SIGSTOP) at the point instead of dying
    stateless: bool = False  # the loop keeps nothing; the relay, which brings its input, does
    without: tuple[str, ...] = ()  # fences to take out: see `sabotage`


class _Passages:
    """Counts passages of this process, and dies as planned."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._passed: Counter[str] = Counter()
        self._notes = -1

    def follow(self, plan: Plan) -> None:
        self._plan = plan
        self._notes = os.open(plan.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def hit(self, name: str) -> None:
        if self._plan is None:
            return
        self._passed[name] += 1
        if self._passed[name] <= NOTED:
            self._note(name if self._passed[name] == 1 else points.again(name))
        if name == DECIDED and self._is_within(PUBLISHING):
            self._note(ONE_AHEAD)
        if name == READ and self._is_within(DECIDING):
            self._note(READ_AHEAD)
        if name == self._plan.crash and self._passed[name] == self._plan.passage:
            os.kill(os.getpid(), signal.SIGSTOP if self._plan.stops else signal.SIGKILL)

    def _is_within(self, awaited: str) -> bool:
        return self._passed[f"{awaited}:before"] > self._passed[f"{awaited}:after"]

    def _note(self, what: str) -> None:
        os.write(self._notes, f"{what}\n".encode())


_passages = _Passages()


async def _live(plan: Plan) -> None:
    from shared.exactly_once.tests.faults import tally
    from sqlalchemy.ext.asyncio import create_async_engine

    from exactly_once import Codec, KafkaSettings, Loop, Registry, Relay

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    settings = {"search_path": plan.schema, "idle_in_transaction_session_timeout": "3s", "transaction_timeout": "5s"}
    options = {"server_settings": settings, "command_timeout": STATEMENT_PATIENCE_S}
    engine = create_async_engine(plan.dsn, connect_args=options)
    files = {name: Path(plan.kafka[name]) for name in ("credential", "ca_file")}
    kafka = KafkaSettings(**{**plan.kafka, **files})  # type: ignore[arg-type]  # from JSON
    async with Registry(plan.registry) as registry:
        codec = await Codec.open(
            registry, "/faults", emits=[tally.Added, tally.Totalled], handles=[tally.Added], prefix="faults."
        )
        processor, keeps = (tally.repeating(), None) if plan.stateless else (tally.processor(), engine)
        loop = Loop(processor, engine=keeps, kafka=kafka, codec=codec, instance=plan.instance, prune_every_s=0.2)
        relay = Relay(tally.NAME, engine=engine, kafka=kafka)
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.run())
            group.create_task(relay.run())
            relay.wake()  # as after a commit of its own process: one that stands by rings for the leader
            await stop.wait()
            await asyncio.gather(relay.stop(), loop.stop())
    await engine.dispose()


def _small_steps() -> None:
    """Make batches small and rests short, so that a few dozen records pass every point several times.

    The relay's are larger than the loop's, which so finds a full batch to decide while it publishes another.
    """
    import structlog

    from exactly_once import doorbell, loop, pace, reading, relay

    processors = structlog.processors
    plain: list[Any] = [processors.TimeStamper(), processors.format_exc_info, processors.KeyValueRenderer()]
    structlog.configure(processors=plain)
    loop.MOST_RECORDS, loop.MOST_STATELESS, loop.SILENT_S = 3, 3, 0.3
    reading.AT_A_TIME = 2
    relay.MOST_ROWS = 8
    doorbell.ASK_EVERY_S = 0.2
    pace.LONGEST_REST_S, pace.STRETCH_S, pace.AT_FIRST = 0.05, 0.0, 1


def _child(plan: Plan) -> None:
    log = os.open(f"{plan.notes}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if plan.without:
        from shared.exactly_once.tests.faults import sabotage

        sabotage.take_out(plan.without)
    _passages.follow(plan)
    asyncio.run(_live(plan))
    sys.stdout.flush()
    os._exit(0)


def _serve() -> None:
    children: dict[int, str] = {}
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.05)
        if ready:
            data = os.read(0, 1 << 16)
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    _fork(order["plan"])
                children[pid] = order["id"]
                _say({"id": order["id"], "pid": pid})
        _reap(children)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork(plan: dict[str, Any]) -> None:
    try:
        os.close(0)
        _child(Plan(**plan))
    except BaseException:  # noqa: BLE001  # a child must never return into the server's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(1)


def _reap(children: dict[int, str]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _say({"id": children.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    points.install(_passages.hit)
    _small_steps()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # who is told to stop as it starts shall stop, not die
    _serve()
