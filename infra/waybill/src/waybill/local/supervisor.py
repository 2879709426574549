"""The process that owns a stack: it starts the parts in order of health, keeps them running, and takes all down.

python -m waybill.local.supervisor WAYBILL_HOME     (started by `waybill up`; SIGTERM takes the stack down)
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from waybill import provision, secrets
from waybill.errors import UsageError
from waybill.local import artifacts, issuing, kafka, keys, logfile, postgres, registry, shop, state
from waybill.local.layout import LOG_NAME, OPTIONS_FILE, Options
from waybill.local.programs import Program, die_with_parent
from waybill.local.runner import Runner
from waybill.output import progress, tell_once
from waybill.stack import Stack

HEALTH_DEADLINE_S = 120.0
MOST_DEATHS_AT_START = 3
WRITE_EVERY_S = 0.25
RENEW_EVERY_S = 3600.0


class Supervisor:
    """One stack's life."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._home = options.home
        self._stack: Stack = options.stack()
        self._runners: list[Runner] = []
        self._keeping: list[asyncio.Task[None]] = []
        self._phase: state.Phase = "starting"
        self._message = ""
        self._pid_started_at = psutil.Process().create_time()

    async def live(self) -> int:
        """Start everything, keep it running until SIGTERM or SIGINT, take everything down. Returns the exit code."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        loop.add_signal_handler(signal.SIGHUP, self._save)  # a terminal that closes takes nothing down
        writing = asyncio.create_task(self._write_state())
        renewing = asyncio.create_task(self._renew_tokens())
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(asked.wait())
        said, code = "", 0
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and (error := starting.exception()) is not None:
            said, code = _sentence(error), 2 if isinstance(error, UsageError) else 1
        else:
            await stopping
            starting.cancel()
        await self._take_down()
        writing.cancel()
        renewing.cancel()
        self._phase = "failed" if code else "down"
        self._say(said or "down")
        self._save()
        return code

    async def _start(self) -> None:
        self._say("preparing secrets, certificates and Java artifacts")
        files = await asyncio.to_thread(self._prepare)
        self._say("starting PostgreSQL and Kafka")
        brokers = await asyncio.to_thread(kafka.programs, self._options, files["kafka"])
        database = await asyncio.to_thread(postgres.program, self._options)
        await self._healthy([database])
        await provision.provision_postgres(self._stack)
        await self._healthy([*brokers, registry.program(self._options, files["registry"][0])])
        self._say("provisioning topics, users, permissions and schemas")
        await provision.apply(self._stack)
        if self._options.with_services:
            self._say("migrating the databases")
            await asyncio.gather(*(self._migrate(service) for service in shop.migrated()))
            self._say("starting the gateway and the services")
            await self._healthy([shop.gateway(self._options), *shop.services(self._options)])
        self._phase = "up"
        self._say("up")

    def _prepare(self) -> dict[str, list[Path]]:
        issuing.prepare(self._stack)
        keys.ensure_token_key(self._home)
        shop.ensure_gateway_keys(self._stack)
        secrets.ensure(self._home, "kafka-operator")
        self._stack.save()
        return artifacts.fetch(self._options.cache, say=self._say)

    async def _healthy(self, programs: Iterable[Program]) -> None:
        """Start these together, and wait until each is healthy."""
        runners = [Runner(program, self._home) for program in programs]
        self._runners += runners
        self._keeping += [asyncio.create_task(runner.keep()) for runner in runners]
        deadline = time.monotonic() + HEALTH_DEADLINE_S
        while waiting := [runner for runner in runners if runner.state().state not in {"healthy", "stopped"}]:
            for runner in waiting:
                if runner.deaths >= MOST_DEATHS_AT_START or time.monotonic() > deadline:
                    raise UsageError(f"{runner.program.name} does not start: {runner.state().why}")
            await asyncio.sleep(WRITE_EVERY_S / 2)

    async def _migrate(self, service: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chassis.migrate", service,
            env=shop.migration_environment(self._stack, service),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_parent,  # as in the runner
        )  # fmt: skip
        said, _ = await process.communicate()
        if process.returncode:
            raise UsageError(f"{service}'s database can't be migrated: {said.decode().strip()[-500:]}")

    async def _take_down(self) -> None:
        """End the services before what they stand on."""
        self._phase = "stopping"
        self._say("stopping")
        infrastructure = ("registry", "kafka-", "postgres")
        shops = [runner for runner in self._runners if not runner.program.name.startswith(infrastructure)]
        await asyncio.gather(*(runner.end() for runner in shops))
        for name in infrastructure:
            await asyncio.gather(*(each.end() for each in self._runners if each.program.name.startswith(name)))
        await asyncio.gather(*self._keeping, return_exceptions=True)  # whatever ended one, all is down

    async def _write_state(self) -> None:
        while True:
            self._save()
            logfile.bound_if_possible(self._home / "logs" / LOG_NAME)
            await asyncio.sleep(WRITE_EVERY_S)

    async def _renew_tokens(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                await asyncio.to_thread(issuing.renew_tokens, self._stack)
            except Exception as error:  # noqa: BLE001  # tokens are good for many hours more: the next hour may be better
                tell_once(f"tokens can't be renewed: {_sentence(error)}")

    def _save(self) -> None:
        processes = [runner.state() for runner in self._runners] if self._phase not in {"down", "failed"} else []
        now = state.State(
            phase=self._phase,
            message=self._message,
            pid=os.getpid(),
            pid_started_at=self._pid_started_at,
            processes=processes,
        )
        try:
            state.write(self._home, now)
        except OSError as error:
            tell_once(f"{self._home / state.STATE_FILE} can't be written: {error.strerror}")

    def _say(self, sentence: str) -> None:
        self._message = sentence
        with contextlib.suppress(OSError):  # its log may be on a full disk, which must not keep it from taking down
            progress(sentence)


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"


def main(home: Path) -> int:
    """Supervise the stack of a home until it is taken down."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # secrets are in its memory too
    options = Options.model_validate_json((home / OPTIONS_FILE).read_text())
    lock = state.locked(home)
    if lock is None:
        progress(f"a supervisor already runs in {home}")
        return 2
    with lock:
        return asyncio.new_event_loop().run_until_complete(Supervisor(options).live())


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)  # nothing is left but, after Ctrl-C, a thread in a download that would hold up the exit
