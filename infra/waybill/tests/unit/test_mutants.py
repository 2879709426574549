"""The check with mutants changes what somebody could get wrong, and lets nothing survive without a reason."""

import importlib
from pathlib import Path
from typing import Any

import pytest

CHECKS = Path(__file__).parents[3] / "checks"
CODE = '''
def first(amount: int | None, *, limit: int) -> bool:
    """Tell whether it is less than three."""
    return amount is not None and amount < limit


class Shelf:
    def put(self) -> None:
        self.units += 1
'''


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(CHECKS)
    return importlib.import_module("mutants")


def test_what_could_be_a_slip_is_changed_and_what_mypy_guards_is_not(checks: Any, tmp_path: Path) -> None:
    module = tmp_path / "shelf.py"
    module.write_text(CODE)
    changed = {tuple(mutant.name)[1:] for mutant in checks.mutants(str(module))}
    line = "return amount is not None and amount < limit"
    assert ("first", line, "pass") in changed
    assert ("first", line, line.replace("<", "<=")) in changed
    assert ("first", line, line.replace("and", "or")) in changed
    assert ("first", line, line.replace("is not", "is")) in changed
    assert ("Shelf.put", "self.units += 1", "pass") in changed
    assert {old for _, old, _ in changed} == {line, "self.units += 1"}


def test_a_survivor_needs_an_excuse_and_an_excuse_its_survivor(checks: Any) -> None:
    survivor = checks.Name("shelf.py", "first", "a < b", "a <= b")
    excuse = {"module": "shelf.py", "where": "first", "old": "a < b", "why": "the instant itself"}
    assert checks.judged({survivor}, [excuse]) == []
    assert checks.judged({survivor}, [excuse | {"new": "a <= b"}]) == []
    assert checks.judged({survivor}, []) == [f"survived: {survivor}"]
    wrong = checks.judged({survivor}, [excuse | {"where": "second"}])
    assert [each.partition(":")[0] for each in wrong] == ["survived", "excused, but noticed by now"]
