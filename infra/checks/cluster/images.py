"""The images are what the manifests take them for: whose processes, on which port, what runs without a command."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cluster.pods import LABEL, Container, Pod, pods
from waybill.kubernetes.resource import Resource

DOCKERFILE = Path(__file__).parents[2] / "docker" / "service.Dockerfile"
SERVES = ["python", "serve.py"]
CODE = re.compile(r"(?:services|shared|infra)/([\w${}]+)/src")


class Image:
    """The last stage of an image, as the Dockerfile writes it."""

    def __init__(self, dockerfile: str, stage: str) -> None:
        lines = dockerfile.replace("\\\n", " ").split(f" AS {stage}\n")[1].partition("\nFROM ")[0].splitlines()
        words = [line.partition(" ") for line in lines if line and not line.startswith("#")]
        said: Mapping[str, list[str]] = {
            name: [rest for each, _, rest in words if each == name] for name, _, _ in words
        }
        self.user = said["USER"][-1]
        self.env = dict(pair.split("=", 1) for line in said.get("ENV", []) for pair in line.split())
        self.ports = {*said.get("EXPOSE", []), self.env.get("WAYBILL_HTTP_PORT", "none")}
        self.entrypoint: list[str] = json.loads(said["ENTRYPOINT"][-1])
        self.code = {found for line in said["COPY"] for found in CODE.findall(line)}


def problems(resources: Sequence[Resource], dockerfile: str | None = None) -> Iterator[str]:
    """Yield where a container is not what its image is made for."""
    text = dockerfile or DOCKERFILE.read_text()
    service, operator = Image(text, "service"), Image(text, "operator")
    for pod in pods(resources):
        for container in (each for each in pod.containers if each.package):
            image = operator if container.package == "operator" else service
            yield from _user(pod, container, image)
            yield from _operator(container, image) if image is operator else _service(container, image)


def _user(pod: Pod, container: Container, image: Image) -> Iterator[str]:
    context = pod.spec.get("securityContext", {}) | container.raw.get("securityContext", {})
    if (runs := f"{context.get('runAsUser')}:{context.get('runAsGroup')}") != image.user:
        yield f"{container}: runs as {runs}, its image is made for {image.user}"


def _service(container: Container, image: Image) -> Iterator[str]:
    """Yield what is not as the image's own program has it; a command that is given takes that one's place."""
    built = image.env.get("WAYBILL_SERVICE", "").replace("${SERVICE}", str(container.package))
    for served in {built, container.env.get("WAYBILL_SERVICE")} - {container.pod.labels[LABEL]}:
        yield f"{container}: its image would serve {served}"
    if container.module:
        return
    if container.raw.get("command") or container.raw.get("args") or image.entrypoint != SERVES:
        yield f"{container}: starts otherwise than by {' '.join(SERVES)}"
    ports = [str(port["containerPort"]) for port in container.raw.get("ports", [])]
    if set(ports) != image.ports:
        yield f"{container}: is reached on {', '.join(ports)}, its image on {', '.join(sorted(image.ports))}"


def _operator(container: Container, image: Image) -> Iterator[str]:
    """Yield commands that are missing, for the entrypoint prepares compose's stack, and code that the image lacks."""
    if not container.module:
        yield f"{container}: has no command, so that {' '.join(image.entrypoint)} would run"
    wanted = {container.module.partition(".")[0]}
    wanted |= set(container.words) if container.module == "chassis.migrate" else set()
    yield from (f"{container}: its image has no {each}" for each in sorted(wanted - image.code - {""}))
