"""Which stack a command means: `--stack`, or WAYBILL_STACK, or the local one."""

from contextvars import ContextVar
from importlib import import_module
from typing import Literal

from waybill.parts import Parts

Kind = Literal["local", "compose"]
VARIABLE = "WAYBILL_STACK"
MODULES: dict[Kind, str] = {"local": "waybill.local.parts", "compose": "waybill.compose.parts"}

_kind: ContextVar[Kind] = ContextVar("kind", default="local")


def choose(kind: Kind) -> None:
    """Have this command mean a stack."""
    _kind.set(kind)


def chosen() -> Parts:
    """Return the parts of the stack that this command means."""
    parts: Parts = import_module(MODULES[_kind.get()]).here()
    return parts
