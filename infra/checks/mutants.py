"""Changes the code a little, again and again, and looks whether its tests notice: `python infra/checks/mutants.py`.

What survives must stand in mutants.toml with the reason why it does not matter; what stands there must survive.
The mutations are cosmic-ray's. Each lives in a forked process alone, which imports the changed module in place of the
real one and runs the tests: no file is touched, and nothing is imported twice.
"""

import ast
import difflib
import importlib
import os
import signal
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[2]
KNOWN = Path(__file__).with_suffix(".toml")
LIBRARIES = (
    "aiohttp",
    "aiokafka",
    "fastapi",
    "fastavro",
    "hypothesis",
    "pytest_asyncio",
    "sqlalchemy.ext.asyncio",
    "sqlmodel",
)
PRELOADED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # plugins among them, which pytest likes to load itself
TEST_DEADLINE_S = 60.0
AT_ONCE = os.cpu_count() or 1


class Mutant(NamedTuple):
    """One small change of a module: what stood there, what stands there now."""

    module: str
    old: str
    new: str
    code: str

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is known by: no line numbers, which move."""
        return self.module, self.old, self.new


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module that means something else than the module."""
    code = (ROOT / module).read_text()
    seen = {_meaning(code)}
    operators = [operator for name in sorted(operator_names()) if not (operator := get_operator(name)).arguments()]
    for operator in operators:
        for mutated in _each(code, operator()):
            if (meaning := _meaning(mutated)) not in seen:
                seen.add(meaning)
                yield Mutant(module, *_changed(code, mutated), mutated)


def _each(code: str, operator: object) -> Iterator[str]:
    occurrence = 0
    while (mutated := mutate_code(code, operator, occurrence)) is not None:
        yield mutated
        occurrence += 1


def _meaning(code: str) -> str:
    """Return the code without annotations and docstrings, which no test can notice; itself where it does not parse."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return code
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def _changed(code: str, mutated: str) -> tuple[str, str]:
    changes = list(difflib.ndiff(code.splitlines(), mutated.splitlines()))
    old, new = ([line[2:].strip() for line in changes if line.startswith(sign)] for sign in ("- ", "+ "))
    return " ".join(old), " ".join(new)


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


def survivors(mutants: Iterable[Mutant], tests: list[str]) -> Iterator[Mutant]:
    """Yield the mutants with which these tests pass; tests that never end fail."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = iter(mutants)
    while True:
        while len(running) < AT_ONCE and (mutant := next(waiting, None)) is not None:
            running[_forked(mutant, tests)] = mutant, time.monotonic() + TEST_DEADLINE_S
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


def _forked(mutant: Mutant, tests: list[str]) -> int:
    """Fork a process that runs the tests with a mutant and ends with pytest's exit code; return its pid."""
    if pid := os.fork():
        return pid
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    sys.meta_path.insert(0, Changed(mutant.module, mutant.code))
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *PRELOADED, *tests]))


def main(words: list[str]) -> int:
    """Run the mutants of every subject in mutants.toml, or of those whose path contains one of the words."""
    known = tomllib.loads(KNOWN.read_text())
    os.chdir(ROOT)
    for library in LIBRARIES:
        importlib.import_module(library)
    subjects = [each for each in known["subjects"] if not words or any(word in each["module"] for word in words)]
    survived = {name for each in subjects for name in _survivors(each["module"], each["tests"])}
    modules = {subject["module"] for subject in subjects}
    excused = {(each["module"], each["old"], each["new"]) for each in known.get("survivors", [])}
    gone = {name for name in excused - survived if name[0] in modules}
    for title, names in {"survived, unexcused": survived - excused, "excused, but noticed by now": gone}.items():
        for module, old, new in sorted(names):
            print(f"{title}: {module}\n  - {old}\n  + {new}")
    return 1 if survived - excused or gone else 0


def _survivors(module: str, tests: list[str]) -> set[tuple[str, str, str]]:
    unchanged = Mutant(module, "", "", (ROOT / module).read_text())
    if not list(survivors([unchanged], tests)):
        raise SystemExit(f"the tests of {module} fail without any mutation")
    every = list(mutants(module))
    survived = {mutant.name for mutant in survivors(every, tests)}
    print(f"{module}: {len(every)} mutants, {len(survived)} survived", flush=True)
    return survived


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
