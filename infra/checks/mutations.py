"""Small changes of code that somebody could make by mistake: cosmic-ray's, and each statement forgotten."""

import ast
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = ("Is", "IsNot")
NEIGHBOURS = ({"Add", "Sub"}, {"Mul", "Div"}, {"BitOr", "BitAnd"})


class Name(NamedTuple):
    """What a mutant is known by: no line numbers, which move."""

    module: str
    where: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.module}, {self.where}\n  - {self.old}\n  + {self.new}"


class Mutant(NamedTuple):
    """One small change of a module."""

    name: Name
    code: str


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module that means something else than the module."""
    code = (ROOT / module).read_text()
    seen, named = {_meaning(code)}, Counter[Name]()
    for mutated in chain(_without_a_statement(code), _with_a_slip(code)):
        if (meaning := _meaning(mutated)) is not None and meaning not in seen:
            seen.add(meaning)
            name = Name(module, *_changed(code, mutated))
            named[name] += 1
            again = f"#{named[name]}" if named[name] > 1 else ""  # the same line may stand in a function twice
            yield Mutant(name._replace(where=name.where + again), mutated)


def _without_a_statement(code: str) -> Iterator[str]:
    """Yield the code without each of the statements that could be forgotten; cosmic-ray forgets none."""
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.stmt) and _can_be_forgotten(node):
            before, after = lines[: node.lineno - 1], lines[node.end_lineno :]
            yield "\n".join([*before, f"{' ' * node.col_offset}pass", *after])


def _can_be_forgotten(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return not any(isinstance(target, ast.Name) for target in node.targets)
    return isinstance(node, ast.AugAssign | ast.Raise | ast.Return)


def _with_a_slip(code: str) -> Iterator[str]:
    """Yield what cosmic-ray makes of the code."""
    for operator in (get_operator(name) for name in sorted(operator_names()) if _is_a_slip(name)):
        if not operator.arguments():
            occurrence = 0
            while (mutated := mutate_code(code, operator(), occurrence)) is not None:
                yield mutated
                occurrence += 1


def _is_a_slip(operator: str) -> bool:
    """Tell whether somebody could do that by mistake: most swaps of operators are type errors at once.

    And nobody asks of None and of the members of an enum which is the larger one.
    """
    kind, _, swap = operator.partition("_")
    old, _, new = swap.partition("_")
    if kind.endswith("BinaryOperator"):
        return {old, new} in NEIGHBOURS
    return not kind.endswith("ComparisonOperator") or (old in IDENTITY) == (new in IDENTITY)


def _meaning(code: str) -> str | None:
    """Return the code without what mypy guards: annotations, kinds of parameters, frozen classes.

    None where it does not parse.
    """
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.keyword) and node.arg in {"frozen", "slots"}:
            node.value = ast.Constant(None)
        elif isinstance(node, ast.arguments):
            node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            node.defaults += [default for default in node.kw_defaults if default is not None]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
    return ast.dump(tree)


def _changed(code: str, mutated: str) -> tuple[str, str, str]:
    """Return in which function the code was changed, what stood there, and what stands there now."""
    before, after = code.splitlines(), mutated.splitlines()
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    (_, start, stop, new_start, new_stop), *_ = [change for change in changes if change[0] != "equal"]
    old, new = (" ".join(line.strip() for line in lines) for lines in (before[start:stop], after[new_start:new_stop]))
    return _place(code, start + 1), old, new


def _place(code: str, line: int) -> str:
    """Return the dotted name of the function or class around a line."""
    around = [
        (node.lineno, node.name)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and min([node.lineno, *(each.lineno for each in node.decorator_list)]) <= line <= (node.end_lineno or 0)
    ]
    return ".".join(name for _, name in sorted(around)) or "module"
