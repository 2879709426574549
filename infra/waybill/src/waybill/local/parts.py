"""The parts of the local stack: processes under a supervisor, which looks at files of its home."""

import collections
import os
import time
from collections.abc import Iterator
from pathlib import Path

from waybill.errors import UsageError
from waybill.home import home_folder
from waybill.local import ending, state
from waybill.parts import Part, Seen, Wanted

LOOK_EVERY_S = 0.3


class LocalParts:
    """The processes of a home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def look(self) -> Seen:
        """Return what the supervisor wrote last."""
        now = state.read(self.home)
        if now is None or not now.is_running:
            return Seen(message=now.message if now and now.phase == "failed" else "")
        parts = [Part(each.name, each.state, each.port, each.why, each.pid, each.started_at) for each in now.processes]
        return Seen(running=True, healthy=now.healthy, parts=tuple(parts))

    def bring_up(self, wanted: Wanted) -> None:
        """Start a supervisor, and wait until it says that all is healthy."""
        from waybill.local import control, layout  # noqa: PLC0415  # whoever only looks should not wait for it

        options = layout.default_options(wanted.brokers)
        namespace = options.namespace if wanted.namespace is None else wanted.namespace
        changes: dict[str, object] = {
            "base_port": options.base_port if wanted.base_port is None else wanted.base_port,
            "namespace": namespace,
            "instances": layout.checked(namespace, list(wanted.instances)),
            "with_services": wanted.services,
            "auth": wanted.auth,
        }
        control.bring_up(options.model_copy(update=changes))

    def take_down(self) -> bool:
        """End the supervisor and whatever is left."""
        return ending.take_down(self.home)

    def stop(self, name: str) -> list[str]:
        """Mark processes, which the supervisor then ends."""
        names = self._named(name)
        for each in names:
            state.stopped_marker(self.home, each).touch()
        return names

    def start(self, name: str) -> list[str]:
        """Take the marks away."""
        names = self._named(name)
        for each in names:
            state.stopped_marker(self.home, each).unlink(missing_ok=True)
        return names

    def log(self, name: str, lines: int, *, follow: bool) -> Iterator[str]:
        """Read a file of the home's logs."""
        path = self.home / "logs" / f"{name}.log"
        if not path.exists():
            known = sorted(each.stem for each in path.parent.glob("*.log"))
            raise UsageError(f"there is no log of {name}; there are {', '.join(known) or 'none'}")
        with path.open("rb") as file:
            yield b"".join(collections.deque(file, maxlen=lines)).decode(errors="replace")
            while follow:
                time.sleep(LOOK_EVERY_S)
                if os.fstat(file.fileno()).st_size < file.tell():  # it was set aside
                    file.seek(0)
                yield file.read().decode(errors="replace")

    def renew(self) -> None:
        """Do nothing: the processes read the home's own files."""

    def _named(self, name: str) -> list[str]:
        """Return the process of this name, or all that differ from it by their number only."""
        seen = self.look()
        if not seen.running:
            raise UsageError(f"no stack runs in {self.home}")
        names = [each.name for each in seen.parts]
        meant = [each for each in names if each == name or each.rpartition("-")[0] == name]
        if not meant:
            raise UsageError(f"there is no process {name}; there are {', '.join(names)}")
        return meant


def here() -> LocalParts:
    """Return the parts of the environment's home."""
    return LocalParts(home_folder())
