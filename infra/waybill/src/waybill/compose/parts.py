"""The parts of the stack in containers, which Docker keeps running."""

from collections.abc import Iterator
from pathlib import Path

from waybill.compose import premises
from waybill.compose.containers import part_of, service_of, step_that_failed
from waybill.compose.docker import Docker, environment_file, project_folder
from waybill.compose.layout import Layout, read_layout
from waybill.errors import UsageError
from waybill.output import progress
from waybill.parts import Seen, Wanted

UP_DEADLINE_S = 300
RESTFUL = frozenset({"healthy", "stopped"})


class ComposeParts:
    """The containers of the project in a folder."""

    def __init__(self, project: Path) -> None:
        self._docker = Docker(project)
        self._layout: Layout = read_layout(environment_file(project))
        self.home = (project / self._layout.home.expanduser()).absolute()

    def look(self) -> Seen:
        """Ask Docker."""
        containers = self._docker.containers()
        parts = [part for each in containers if (part := part_of(each, self._layout.ports)) is not None]
        running = any(each["State"]["Running"] for each in containers)
        healthy = running and all(each.state in RESTFUL for each in parts)
        return Seen(running, healthy, tuple(sorted(parts, key=lambda part: part.name)), step_that_failed(containers))

    def bring_up(self, wanted: Wanted) -> None:
        """Have Docker build what has changed and start everything. What has started when it fails stays up."""
        if wanted.typed:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in wanted.typed)
            raise UsageError(f"{options}: for the local stack alone; .env.example says what this one takes")
        before = self.look()
        if before.running and before.healthy:
            raise UsageError(f"the stack of {self._docker.project} is up already: see `waybill status --stack compose`")
        if not before.running:
            premises.check(self._docker, self._layout, self.home)
        with self._docker.open(
            "up", "--build", "--detach", "--wait", f"--wait-timeout={UP_DEADLINE_S}", quiet=True
        ) as up:
            try:
                code = up.wait()
            except BaseException:
                progress("taking down what has started")
                up.terminate()  # a signal may have come to this process alone
                up.wait()
                self.take_down()
                raise
        if code:
            raise UsageError(self._why_not())

    def take_down(self) -> bool:
        """Remove the containers and the network; the volumes stay."""
        ran = bool(self._docker.containers())
        self._docker.compose("--profile", "*", "down", "--remove-orphans", deadline_s=None)
        return ran

    def stop(self, name: str) -> list[str]:
        """Have Docker stop a service's containers; it restarts none that was stopped."""
        self._docker.compose("stop", self._known(name), deadline_s=None)
        return [name]

    def start(self, name: str) -> list[str]:
        """Have Docker start a service's containers, and these alone: compose would prepare the stack again."""
        known = self._known(name)
        ids = [each["Id"] for each in self._docker.containers() if service_of(each) == known]
        if not ids:
            raise UsageError(f"{name} has no container: start the stack with `waybill up --stack compose`")
        self._docker.run("start", *ids)
        return [name]

    def log(self, name: str, lines: int, *, follow: bool) -> Iterator[str]:
        """Pass on what Docker keeps of a service's output."""
        words = ["logs", "--no-log-prefix", f"--tail={lines}", *(["--follow"] if follow else []), self._known(name)]
        with self._docker.open("--profile", "*", *words) as logs:
            try:
                yield from logs.stdout or ()
            finally:
                logs.terminate()  # it would follow on

    def renew(self) -> None:
        """Give the containers what has changed."""
        self._docker.compose("run", "--rm", "--no-deps", "--no-TTY", "secrets", "secrets", deadline_s=None)

    def _known(self, name: str) -> str:
        services = self._docker.services()
        if name not in services:
            raise UsageError(f"there is no container {name}; there are {', '.join(services)}")
        return name

    def _why_not(self) -> str:
        seen = self.look()
        unwell = [f"{each.name}: {each.why or each.state}" for each in seen.parts if each.state not in RESTFUL]
        progress("what has started stays up, to be looked at: `waybill logs NAME --stack compose`")
        return "the stack does not start: " + (seen.message or "; ".join(unwell) or "see what Docker said above")


def here() -> ComposeParts:
    """Return the parts of the project in the current folder, or above it."""
    return ComposeParts(project_folder())
