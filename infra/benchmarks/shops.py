"""A shop whose processes are changed between its loads, while its brokers stay warm and its orders stay."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import varied
from side_by_side import Figures
from spans import Spans, collecting
from varied import AS_IT_IS, VARIANT

from contracts import SERVICES as WITH_DATABASE
from waybill.audit.databases import snapshot
from waybill.driver import Waybill
from waybill.local import control
from waybill.local.layout import LOG_NAME, SERVICES, Options, cache_folder
from waybill.local.parts import LocalParts
from waybill.parts import Condition
from waybill.stack import Stack
from waybill.testing import forget, free_base_port

DEADLINE_S = 60.0
LOOK_EVERY_S = 0.1
LIBRARYS = ("claims", "outputs", "outbox")
SIZES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


class Shop:
    """A stack that runs; `command` drives it, `spans` counts what its services tell of where they are traced."""

    def __init__(self, options: Options, spans: Spans) -> None:
        self.command, self.spans = Waybill(options.home, options.base_port), spans
        self.brokers = options.brokers
        self._parts = LocalParts(options.home)
        self.stack = Stack.load(options.home)

    def change(self, variant: str = AS_IT_IS, instances: int = 1) -> None:
        """Start the services again: without what a variant leaves out, with so many processes of each."""
        names = [each.name for each in self._parts.look().parts if each.name.rpartition("-")[0] in SERVICES]
        self._all(names, "stopped")
        (self.command.home / VARIANT).write_text(variant)
        self._all([name for name in names if int(name.rpartition("-")[2]) <= instances], "healthy")
        urls = {service: urls[:instances] for service, urls in self.stack.services.items()}
        self.stack.model_copy(update={"services": urls}).save()

    def transactions(self) -> int:
        """Return how many bytes the brokers have noted about transactions."""
        return self.logged("__transaction_state-*")

    def logged(self, partitions: str = "*") -> int:
        """Return how many bytes the brokers' logs have, those of some partitions."""
        logs = (self.command.home / "kafka").glob(f"*/{partitions}/*.log")
        return sum(log.stat().st_size for log in logs)

    async def stored(self) -> Figures:
        """Return how many bytes the library's tables have in the services' databases, by name; and all the others."""
        found = dict.fromkeys((*LIBRARYS, "other tables"), 0.0)
        for service in WITH_DATABASE:
            async with snapshot(self.stack, service) as connection:
                for table, size in await connection.fetch(SIZES):
                    found[table if table in LIBRARYS else "other tables"] += size
        return found

    def _all(self, names: Iterable[str], wanted: Condition) -> None:
        """Stop these, or start them, and wait until all are as wanted."""
        waiting, until = set(names), time.monotonic() + DEADLINE_S
        for name in waiting:
            self._parts.stop(name) if wanted == "stopped" else self._parts.start(name)
        while waiting:
            if time.monotonic() > until:
                raise TimeoutError(f"{', '.join(waiting)}: not {wanted}")
            time.sleep(LOOK_EVERY_S)
            waiting -= {each.name for each in self._parts.look().parts if each.state == wanted}


@contextmanager
def a_shop(brokers: int, instances: int = 1) -> Iterator[Shop]:
    """Run a shop for the length of the block, with at most so many processes of each service."""
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder, collecting() as spans:
        options = Options(
            home=Path(folder) / "home",
            cache=cache_folder(),
            base_port=free_base_port(),
            brokers=brokers,
            instances=dict.fromkeys(SERVICES, instances),
        )
        try:
            # these brokers live for minutes
            environment = {"WAYBILL_JIT": "full", "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url}
            with patch.dict(os.environ, environment), patch.object(control, "_supervise", _supervise):
                control.bring_up(options)
            yield Shop(options, spans)
        finally:
            control.take_down(options.home)
            forget(options.home)


def _supervise(home: Path) -> subprocess.Popen[bytes]:
    """Start the supervisor whose services can vary, as `waybill up` starts its own."""
    with (home / "logs" / LOG_NAME).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, varied.__file__, "supervise", str(home)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home,
        )  # fmt: skip


def by_service(used: Mapping[str, Any]) -> Figures:
    """Add up what the processes of each service, and the brokers, used."""
    found: Figures = {}
    for process, figure in used.items():
        name = process.rpartition("-")[0] or process
        found[name] = found.get(name, 0.0) + figure
    return found
