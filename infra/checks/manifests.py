"""Compares infra/kubernetes with the contracts and with itself, so that what would fail in a cluster fails here.

    python infra/checks/manifests.py [--write]

Exits 1 and says what is wrong; --write brings the files up to date that are derived from the contracts.
"""

import difflib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from cluster import problems
from cluster.rendering import build

from waybill.kubernetes import GENERATED
from waybill.kubernetes.resource import Resource

FOLDER = Path(__file__).parents[1] / "kubernetes"
OVERLAYS = ("local", "prod")
HEADER = "# Derived from shared/contracts: `make manifests` writes it.\n"


def text(resources: Iterable[Resource]) -> str:
    """Return resources as a file holds them."""
    return HEADER + yaml.dump_all(resources, Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.CSafeDumper):
    """Writes a thing that is meant twice twice: an alias is no easy reading."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def differences(folder: Path = FOLDER) -> Iterator[str]:
    """Yield what the derived files lack, as lines of a diff."""
    for name, make in GENERATED.items():
        path, now = folder / name, text(make())
        kept = path.read_text() if path.exists() else ""
        yield from difflib.unified_diff(kept.splitlines(), now.splitlines(), name, "contracts", lineterm="", n=2)


def wrong(folder: Path) -> Iterator[str]:
    """Yield what is wrong with an overlay."""
    try:
        resources = build(folder)
    except subprocess.CalledProcessError:  # it has said why
        yield "kustomize refuses it"
        return
    yield from problems(resources)


def main(words: list[str]) -> int:
    """Return the exit code."""
    if "--write" in words:
        for name, make in GENERATED.items():
            (FOLDER / name).write_text(text(make()))
    if lines := list(differences()):
        print("\n".join(lines[:60]), "the manifests are not what the contracts say: `make manifests`", sep="\n")
        return 1
    found = [f"{overlay}: {problem}" for overlay in OVERLAYS for problem in wrong(FOLDER / "overlays" / overlay)]
    print("\n".join(found) or f"the manifests of {' and '.join(OVERLAYS)} hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
