"""Crash points by construction: every `await` and `async with` of the protocol's modules becomes a named point.

A point is `module.Class.function:callee:before|after`, with `#2` where a function awaits the same callee again; a
context manager's exit is `…:exit`. The production code knows nothing of it: an import hook rewrites the modules of a
test process, and the list is computed from the same source, so a new await is a new point.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import ModuleType
from typing import Any

PACKAGE = "exactly_once"
MODULES = (
    "loop", "reading", "publishing", "decide", "claims", "recovery", "inbox", "pruning", "transactions", "stateless",
    "relay", "relay_store", "doorbell",
    "kafka.producer", "kafka.doubt", "kafka.consumer", "kafka.closing",
)  # fmt: skip
NO_POINT = ("asyncio.timeout",)  # awaits nothing
PASS, AROUND = "_pass_point", "_around_points"

Hit = Callable[[str], None]


class _Rewriter(ast.NodeTransformer):
    """Wraps what is awaited, and what is entered, in calls that hit the points; collects their names."""

    def __init__(self, module: str) -> None:
        self._where = [module]
        self._seen: Counter[str] = Counter()
        self.names: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._within(node, node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._within(node, node.name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._within(node, node.name)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        name = self._name(node.value)
        self.names += [f"{name}:before", f"{name}:after"]
        self.generic_visit(node)
        return ast.Await(_call(PASS, name, node.value))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        for item in node.items:
            if _callee(item.context_expr) not in NO_POINT:
                name = self._name(item.context_expr)
                self.names += [f"{name}{way}:{when}" for way in ("", ":exit") for when in ("before", "after")]
                item.context_expr = _call(AROUND, name, item.context_expr)
        self.generic_visit(node)
        return node

    def _within(self, node: ast.AST, name: str) -> ast.AST:
        self._where.append(name)
        self.generic_visit(node)
        self._where.pop()
        return node

    def _name(self, expression: ast.expr) -> str:
        name = f"{'.'.join(self._where)}:{_callee(expression)}"
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name}#{self._seen[name]}"


def _callee(expression: ast.expr) -> str:
    return ast.unparse(expression.func if isinstance(expression, ast.Call) else expression).replace(" ", "")


def _call(function: str, name: str, argument: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), [ast.Constant(name), argument], [])


def _rewritten(module: str) -> tuple[ast.Module, list[str]]:
    spec = importlib.machinery.PathFinder.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for folder in spec.submodule_search_locations:
        with open(f"{folder}/{module.replace('.', '/')}.py", encoding="utf-8") as source:  # noqa: PTH123  # a loader's
            tree = ast.parse(source.read())
        rewriter = _Rewriter(module)
        rewriter.visit(tree)
        return ast.fix_missing_locations(tree), rewriter.names
    raise FileNotFoundError(module)


def every_point() -> list[str]:
    """Return the names of all points, in the order of the source."""
    return [name for module in MODULES for name in _rewritten(module)[1]]


class _Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, hit: Hit) -> None:
        self._hit = hit

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name.removeprefix(f"{PACKAGE}.") not in MODULES:
            return None
        return importlib.util.spec_from_loader(name, self)

    def exec_module(self, module: ModuleType) -> None:
        tree, _ = _rewritten(module.__name__.removeprefix(f"{PACKAGE}."))
        vars(module)[PASS], vars(module)[AROUND] = self._pass, self._around
        exec(compile(tree, module.__name__, "exec"), vars(module))  # noqa: S102  # that is what a loader does

    async def _pass(self, name: str, awaited: Awaitable[Any]) -> Any:
        self._hit(f"{name}:before")
        answer = await awaited
        self._hit(f"{name}:after")
        return answer

    @asynccontextmanager
    async def _around(self, name: str, entered: AbstractAsyncContextManager[Any]) -> Any:
        self._hit(f"{name}:before")
        async with _Exit(entered, lambda when: self._hit(f"{name}:exit:{when}")) as inner:
            self._hit(f"{name}:after")
            yield inner


class _Exit(AbstractAsyncContextManager[Any]):
    def __init__(self, inner: AbstractAsyncContextManager[Any], hit: Hit) -> None:
        self._inner, self._hit = inner, hit

    async def __aenter__(self) -> Any:
        return await self._inner.__aenter__()

    async def __aexit__(self, *failure: Any) -> Any:  # noqa: PYI036  # passed on as they are
        self._hit("before")
        answer = await self._inner.__aexit__(*failure)
        self._hit("after")
        return answer


def install(hit: Hit) -> None:
    """Rewrite the protocol's modules of this process as they are imported: each passage calls `hit` with its name."""
    loaded = [name for name in _names() if name in sys.modules]
    if loaded:
        raise RuntimeError(f"too late: {loaded} have been imported")
    sys.meta_path.insert(0, _Hook(hit))


def _names() -> Iterator[str]:
    return (f"{PACKAGE}.{module}" for module in MODULES)


def again(point: str) -> str:
    """Return how a second passage of a point is noted."""
    return f"{point} again"
