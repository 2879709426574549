"""The images that containers begin with: whether Docker has them, or can pull them.

As a program, in the project's folder, it sees to them, and exits 1 with the reason if it can't.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from waybill.compose.docker import Docker
from waybill.errors import UsageError

DOCKERFILE = Path("infra/docker/service.Dockerfile")
PULL_DEADLINE_S = 300.0


def missing(project: Path, wanted: Sequence[str] = ()) -> str:
    """Return why there can be no containers here, or nothing; images (the stack's, or `wanted`) are pulled."""
    docker = Docker(project)
    try:
        docker.run("info")
        for image in wanted or _images(docker):
            _have(docker, image)
    except UsageError as error:
        return str(error)
    return ""


def _have(docker: Docker, image: str) -> None:
    if docker.run("images", "--quiet", image):
        return
    try:
        docker.run("pull", "--quiet", image, deadline_s=PULL_DEADLINE_S)
    except UsageError as error:
        raise UsageError(f"Docker has no {image} and can't pull it ({error})") from error


def _images(docker: Docker) -> set[str]:
    """Return what the stack's images are built from, and what it runs beside them, but for what a profile adds."""
    services = docker.services().values()
    run = {each["image"] for each in services if not {"build", "profiles"} & each.keys()}
    return run | set(re.findall(r"^FROM (\S+:\S+)", (docker.project / DOCKERFILE).read_text(), re.MULTILINE))


if __name__ == "__main__":
    if why := missing(Path.cwd()):
        print(why)
        sys.exit(1)
