"""The checks' modules, which are scripts' and so on nobody's path."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKS = Path(__file__).parents[4] / "checks"


@pytest.fixture(scope="session", autouse=True)
def on_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKS)
        yield


@pytest.fixture
def checks() -> Any:
    return importlib.import_module("cluster")


@pytest.fixture
def manifests() -> Any:
    return importlib.import_module("manifests")
