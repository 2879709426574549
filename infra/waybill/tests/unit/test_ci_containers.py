"""How CI comes to an engine with images, or says why not: a Docker and a builder that do what the test says."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SCRIPT = ROOT / ".ci" / "containers"
DEADLINE_S = 60
DOCKER = """#!/bin/sh
[ -e "$ENGINE" ] || { echo "no engine answers" >&2; exit 1; }
case "$*" in
  images*) cat "$ENGINE" ;;
  pull*) echo "no such host" >&2; exit 1 ;;
  *" config "*) echo '{"services": {"kafka": {"image": "a/kafka"}}}' ;;
esac
"""
BUILD = """#!/bin/sh
echo "$*" >> "$ENGINE.asked"
[ "$1" = stop ] && { rm -f "$ENGINE"; exit; }
"""


class Machine:
    """A machine as `.ci/containers` sees it."""

    def __init__(self, folder: Path) -> None:
        self.engine = folder / "engine"
        self.images = folder / "images"
        program(folder / "bin" / "docker", DOCKER)

    def ci(self, word: str, **environment: str) -> tuple[int, str]:
        """The exit code of the script, and what it says."""
        folder = self.engine.parent
        paths = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "ENGINE": str(self.engine)}
        places = {"WAYBILL_CACHE": str(folder / "cache"), "WAYBILL_IMAGES": str(self.images)}
        done = subprocess.run(
            [SCRIPT, word], env={**os.environ, **paths, **places, **environment}, capture_output=True, text=True,
            timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def can_build(self, then: str) -> None:
        """Have a program beside the repository that builds images."""
        program(self.images / "build", BUILD + then)

    def asked(self) -> list[str]:
        """What that program was asked for."""
        return self.engine.with_suffix(".asked").read_text().splitlines()


def program(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o555)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_engine_that_has_the_images_is_taken_as_it_is_and_left_running(machine: Machine) -> None:
    machine.engine.write_text("an-id")
    machine.can_build("exit 1")
    assert machine.ci("up") == (0, "containers: an engine has the images\n")
    assert machine.ci("down") == (0, "")
    assert machine.engine.exists()


def test_an_engine_is_started_where_there_is_none_and_stopped_at_the_end(machine: Machine) -> None:
    machine.can_build('echo an-id > "$ENGINE"')
    code, said = machine.ci("up")
    assert (code, said.splitlines()[-1][:38]) == (0, "containers: an engine has the images a")
    assert machine.ci("down") == (0, "")
    assert machine.asked() == ["base python uv postgres jre kafka apicurio", "stop"]
    assert not machine.engine.exists()


def test_without_an_engine_and_without_a_builder_the_reason_is_said(machine: Machine) -> None:
    assert machine.ci("up") == (1, "containers: not tested: docker info: no engine answers\n")
    assert machine.ci("down") == (0, "")


def test_an_image_that_can_be_had_nowhere_is_named(machine: Machine) -> None:
    machine.engine.touch()
    code, said = machine.ci("up")
    assert code == 1
    assert re.search(r"not tested: Docker has no \S+ and can't pull it \(docker pull: no such host\)\n$", said)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ("echo dockerd: permission denied; exit 1", "the images can't be built here, see above"),
        ("exec sleep 60", "the images were not there after 2 s"),
        ("exit 0", "docker info: no engine answers"),
    ],
)
def test_a_builder_that_fails_or_takes_for_ever_is_no_red_build(machine: Machine, build: str, said: str) -> None:
    machine.can_build(build)
    code, told = machine.ci("up", WAYBILL_IMAGES_DEADLINE_S="2")
    assert (code, told.splitlines()[-1]) == (1, f"containers: not tested: {said}")
    assert machine.asked()[-1] == "stop"
