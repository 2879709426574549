"""Changes the code a little, again and again, and looks whether its tests notice: `python infra/checks/mutants.py`.

What survives must stand in mutants.toml with the reason why it does not matter; what stands there must survive.
Each mutant (mutations.py) lives in a forked process alone, which imports the changed module in place of the real one
and runs the tests: no file is touched, and nothing is imported twice.
"""

import importlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from mutations import ROOT, Mutant, Name, mutants

from waybill.testing import POSTGRES

KNOWN = Path(__file__).with_suffix(".toml")
OPTIONS = (
    "-x",
    "-q",
    "--hypothesis-seed=0",  # who survives is no matter of luck
    "-pno:cacheprovider",
    "-Wignore::pytest.PytestAssertRewriteWarning",  # of the plugins among the libraries, which pytest would load itself
)
SLOWER = 3  # than the tests of the real module, and a mutant's tests will never end
AT_ONCE = os.cpu_count() or 1


class Subject(NamedTuple):
    """A module whose mutants these tests must notice.

    What the tests import in any case, and what does not import the module, is imported once, before the forks.
    """

    module: str
    tests: list[str]
    imported: list[str]
    postgres: bool = False
    needs_s: float = 30.0  # the tests, without any mutation


class Changed(MetaPathFinder, InspectLoader):
    """Imports a module from code that is not in its file."""

    def __init__(self, module: str, code: str) -> None:
        self._name = module.partition("/src/")[2].removesuffix(".py").replace("/", ".")
        self._code = code

    def find_spec(self, name: str, _path: object, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Answer for this one module."""
        return spec_from_loader(name, self) if name == self._name else None

    def get_source(self, _: str) -> str:
        """Return the changed code."""
        return self._code


def survivors(mutants: Iterable[Mutant], subject: Subject) -> Iterator[Mutant]:
    """Yield the mutants with which the subject's tests pass; tests that never end fail."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = iter(mutants)
    while True:
        while len(running) < AT_ONCE and (mutant := next(waiting, None)) is not None:
            running[_forked(mutant, subject)] = mutant, time.monotonic() + SLOWER * subject.needs_s
        if not running:
            return
        time.sleep(0.01)
        for pid, (mutant, deadline) in list(running.items()):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del running[pid]
                if os.waitstatus_to_exitcode(status) == 0:
                    yield mutant


def _forked(mutant: Mutant, subject: Subject) -> int:
    """Fork a process that runs the tests with a mutant and ends with pytest's exit code; return its pid."""
    if pid := os.fork():
        return pid
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    sys.meta_path.insert(0, Changed(mutant.name.module, mutant.code))
    os._exit(pytest.main([*OPTIONS, *subject.tests]))


def _survivors(subject: Subject) -> set[Name]:
    """Run the mutants of a subject, and tell those that survive."""
    for library in subject.imported:
        importlib.import_module(library)
    started = time.monotonic()
    unchanged = Mutant(Name(subject.module, "", "", ""), (ROOT / subject.module).read_text())
    if not list(survivors([unchanged], subject)):
        raise SystemExit(f"the tests of {subject.module} fail without any mutation")
    every = list(mutants(subject.module))
    subject = subject._replace(needs_s=time.monotonic() - started + 1.0)
    survived = {mutant.name for mutant in survivors(every, subject)}
    took = time.monotonic() - started
    print(f"{subject.module}: {len(every)} mutants, {len(survived)} survived, {took:.0f} s", flush=True)
    return survived


def _excuses(excuse: dict[str, str], name: Name) -> bool:
    """Tell whether a reason is one for this survivor: it may leave out where, and what stands there now."""
    return all(excuse.get(field, value) == value for field, value in name._asdict().items())


def judged(survived: set[Name], excuses: list[dict[str, str]]) -> list[str]:
    """Return what is wrong: survivors without an excuse, excuses without a survivor."""
    unexcused = [name for name in sorted(survived) if not any(_excuses(each, name) for each in excuses)]
    needless = [each for each in excuses if not any(_excuses(each, name) for name in survived)]
    return [f"survived: {name}" for name in unexcused] + [f"excused, but noticed by now: {each}" for each in needless]


@contextmanager
def _postgres() -> Iterator[None]:
    """Have a PostgreSQL, run by another process: what that imports must not be imported here."""
    command = [sys.executable, "-m", "waybill.testing"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:  # noqa: S603  # ours
        os.environ[POSTGRES] = (keeper.stdout or sys.stdin).readline().strip()
        yield


def main(words: list[str]) -> int:
    """Run the mutants of every subject in mutants.toml, or of those whose path contains one of the words."""
    known = tomllib.loads(KNOWN.read_text())
    subjects = [Subject(**each) for each in known["subjects"]]
    chosen = [each for each in subjects if not words or any(word in each.module for word in words)]
    os.chdir(ROOT)
    survived: set[Name] = set()
    with _postgres() if any(each.postgres for each in chosen) else nullcontext():
        for subject in chosen:
            with ProcessPoolExecutor(1, get_context("fork")) as one:  # what it imports is no other subject's
                survived |= one.submit(_survivors, subject).result()
    modules = {each.module for each in chosen}
    wrong = judged(survived, [each for each in known.get("survivors", []) if each["module"] in modules])
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
