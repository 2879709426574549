"""Keeps one program running: start, ask for its health, start again when it dies, end it when asked."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import IO

import psutil

from waybill.local import logfile
from waybill.local.programs import Program
from waybill.local.state import ProcessState, stopped_marker
from waybill.parts import Condition

LOOK_EVERY_S = 0.25
LOOK_WHEN_HEALTHY_S = 2.0
FIRST_RESTART_S, LONGEST_RESTART_S = 0.5, 15.0
STABLE_AFTER_S = 30.0


class Runner:
    """One program's life."""

    def __init__(self, program: Program, home: Path) -> None:
        self.program = program
        self._home = home
        self._log = home / "logs" / f"{program.name}.log"
        self._marker = stopped_marker(home, program.name)
        self._process: asyncio.subprocess.Process | None = None
        self._started_at: float | None = None
        self._condition: Condition = "starting"
        self._why: str | None = "it has not started"
        self.deaths = 0
        self._ending = asyncio.Event()

    def state(self) -> ProcessState:
        """Return how the program is."""
        pid = self._process.pid if self._process is not None else None
        return ProcessState(
            name=self.program.name,
            state=self._condition,
            port=self.program.port,
            why=self._why,
            pid=pid,
            started_at=self._started_at,
        )

    @property
    def healthy(self) -> bool:
        """Tell whether it does its work."""
        return self._condition == "healthy"

    async def keep(self) -> None:
        """Run the program, again and again, until `end`."""
        wait_s = FIRST_RESTART_S
        while not self._ending.is_set():
            if self._marker.exists():
                self._condition, self._why = "stopped", "stopped by name"
                await self._pause(LOOK_EVERY_S)
                continue
            began = time.monotonic()
            end = await self._life()
            if self._ending.is_set() or self._marker.exists():
                continue
            self.deaths += 1
            wait_s = FIRST_RESTART_S if time.monotonic() - began > STABLE_AFTER_S else wait_s
            self._condition, self._why = "restarting", end
            await self._pause(wait_s)
            wait_s = min(wait_s * 2, LONGEST_RESTART_S)

    async def end(self) -> None:
        """End the program for good: its own signal first, SIGKILL after the deadline."""
        self._ending.set()
        await self._end_process()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for a program that is to end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    async def _life(self) -> str:
        """Have the program live once, and return how that ended."""
        born = time.time()
        try:
            code = await self._live()
        except Exception as error:  # noqa: BLE001  # no memory, no process, no thread that waits for one: not yet
            return f"it can't be started: {error}"
        why = logfile.last_words(self._log, born)
        return f"it ended with {code}{f': {why}' if why else ''}; see {self._log}"

    async def _live(self) -> int:
        """Start the program, watch it, and return its exit code."""
        self._condition, self._why = "starting", "it has just started"
        with logfile.open_to_append(self._log) as log:
            process = await self._spawn(log)
        self._process = process
        if self._ending.is_set():  # asked while it was being started
            await self._end_process()
        with contextlib.suppress(psutil.Error, OSError):  # it runs now, whatever can be read of it
            self._started_at = psutil.Process(process.pid).create_time()
        watch = asyncio.create_task(self._watch())
        try:
            return await process.wait()
        finally:
            watch.cancel()
            self._process, self._started_at = None, None

    async def _spawn(self, log: IO[bytes]) -> asyncio.subprocess.Process:
        program = self.program
        return await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=program.env or None,
            cwd=program.cwd or self._home,
            process_group=0,  # not a session: Linux may share the CPU among those first, whatever their niceness
            preexec_fn=program.enter,
            user=program.user,
            group=_group(program.user) if program.user else None,
            extra_groups=[] if program.user else None,
        )

    async def _watch(self) -> None:
        while True:
            logfile.bound_if_possible(self._log)
            why = await self._asked()
            if why is None:
                self._condition, self._why = "healthy", None
            else:
                self._condition, self._why = ("starting" if self._condition == "starting" else "unhealthy"), why
            if self._marker.exists():
                await self._end_process()
                return
            await self._rest()

    async def _asked(self) -> str | None:
        """Return what keeps the program from being healthy."""
        try:
            return await self.program.health()
        except Exception as error:  # noqa: BLE001  # any failure is the answer to the question
            return f"{type(error).__name__}: {error}"

    async def _rest(self) -> None:
        """Wait for the next question, but see at once that the program is to stop."""
        until = time.monotonic() + (LOOK_WHEN_HEALTHY_S if self.healthy else LOOK_EVERY_S)
        while time.monotonic() < until:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._marker.exists():
                return

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.program.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.program.stop_deadline_s)
            except TimeoutError:
                process.kill()
                await process.wait()


def _group(user: str) -> int:
    import pwd  # noqa: PLC0415  # there is none where there is no root to drop from

    return pwd.getpwnam(user).pw_gid
