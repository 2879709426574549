"""Documents are true of the code: links lead somewhere, each handler has its row, our words are the glossary's."""

import ast
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from chassis.problem_types import COMMON
from checkout import problem_types as checkout
from inventory import problem_types as inventory
from letters import problem_types as letters
from payment_gateway import problem_types as gateway

ROOT = Path(__file__).parents[4]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
INTERFACES = sorted((ROOT / "docs" / "openapi").glob("*.json"))
SOURCES = [path for part in ("shared", "services", "infra/waybill") for path in (ROOT / part).rglob("src/**/*.py")]
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def links(document: Path) -> list[str]:
    found = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    assert [link for link in links(document) if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_test_that_a_document_names_is_there(document: Path) -> None:
    files = [path for part in ("shared", "services", "infra", "e2e_tests") for path in (ROOT / part).rglob("test_*.py")]
    known = {path.stem for path in files} | {
        name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = set(re.findall(r"`(?:[\w/]*/)?(test_\w+)(?:\.py)?`", document.read_text()))
    assert named - known == set()


def definitions(path: Path) -> Iterator[Definition]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Definition))


def is_handler(node: Definition) -> bool:
    return any("processor.handles" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_the_saga_has_a_row_for_each_handler() -> None:
    handlers = {node.name for path in ROOT.glob("services/*/src/*/handlers.py") for node in definitions(path)
                if is_handler(node)}  # fmt: skip
    told = set(re.findall(r"\w+", (ROOT / "docs" / "architecture.md").read_text()))
    assert handlers
    assert handlers - told == set()


def problems_in(path: Path) -> Iterator[tuple[int, str]]:
    """The status and the name of each problem that a module makes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Problem", "answer", "problems.answer"}:
            match node.args[:2]:
                case [status, ast.Constant(str(name))]:
                    code = ast.unparse(status).removeprefix("HTTPStatus.")
                    yield int(code) if code.isdecimal() else HTTPStatus[code], name


def test_every_type_of_problem_has_its_place_in_the_docs_and_its_status_there() -> None:
    page = (ROOT / "docs" / "problems.md").read_text()
    told = {name: int(code) for name, code in re.findall(r"^## ([a-z-]+)\n(\d{3})", page, re.MULTILINE)}
    made = {name: int(status) for path in SOURCES for status, name in problems_in(path)}
    owned = {**checkout.OWN, **inventory.OWN, **letters.OWN, **gateway.OWN}
    declared = {name: int(status) for name, status in {**COMMON, **owned}.items()}
    assert len(made) > 20
    assert made | declared == told


@pytest.mark.parametrize("document", INTERFACES, ids=lambda path: path.stem)
def test_an_interface_tells_what_each_of_its_operations_can_be_refused_for(document: Path) -> None:
    paths = json.loads(document.read_text())["paths"]
    operations = {(path, method): told["responses"] for path, of in paths.items() for method, told in of.items()}
    refusals = {"get": {"401", "403", "503"}, "post": {"401", "403", "411", "413", "415", "503"}}
    untold = {
        (path, method): refusals[method] - set(told)
        for (path, method), told in operations.items()
        if path.startswith("/v1/")
    }
    assert {operation: codes for operation, codes in untold.items() if codes} == {}
    assert set(operations["/health/ready", "get"]) == {"200", "503"}


def avoided() -> set[str]:
    table = (ROOT / "docs" / "glossary.md").read_text().split("Never the name")[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    return {word for row in rows[2:] for word in re.findall(r"\w+", row)}


def test_the_words_to_avoid_name_nothing() -> None:
    words = avoided()
    assert {"message", "manager", "utils"} <= words
    named = [(path.stem, path) for path in SOURCES]
    named += [(node.name, path) for path in SOURCES for node in definitions(path)]
    wrong = [f"{path}: {name}" for name, path in named if {each.lower() for each in WORD.findall(name)} & words]
    assert wrong == []
