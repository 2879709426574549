"""The `waybill` command: everything that a person or a script does to the shop."""

import functools
import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, NamedTuple

import typer

from waybill.errors import UsageError
from waybill.stacks import VARIABLE, Kind, choose

TERMINATED = 143  # as a shell says of SIGTERM

Function = Callable[..., None]


class Command(NamedTuple):
    """Where a command's function lies, and the sentence that `waybill --help` shows: its docstring's first."""

    module: str
    sentence: str


UP, STATUS, RUNNING = "waybill.operate.up", "waybill.operate.status", "waybill.operate.running"
COMMANDS = {
    "up": Command(UP, "Start the stack, and return when everything is healthy."),
    "down": Command(RUNNING, "Take the stack down; its data stays."),
    "status": Command(STATUS, "Show what runs, how it is, and why not."),
    "logs": Command(RUNNING, "Print the end of a process's log."),
    "stop": Command(RUNNING, "Stop one process; it is not restarted."),
    "start": Command(RUNNING, "Start a process that was stopped by name."),
    "provision": Command(
        "waybill.provision.command", "Make topics, users, permissions, databases and schemas as the contracts say."
    ),
    "dlq": Command(
        "waybill.dlq.command",
        "List dead letters, show one with its record, or send some back once their cause is mended.",
    ),
    "token": Command("waybill.token.command", "Print a token for a customer or for an operator."),
    "rotate": Command("waybill.rotate.command", "Change a password or a certificate at Kafka while orders flow."),
    "secrets": Command(
        "waybill.kubernetes.command",
        "Print a Kubernetes cluster's secrets for `kubectl apply -f -`; they are made once, and kept in WAYBILL_HOME.",
    ),
    "demo": Command(
        "waybill.demo.command",
        "Show the whole story: the stack starts if it is not up, orders go through, the audit has the last word.",
    ),
    "replay": Command(
        "waybill.replay.command",
        "Replay purchases: one order a line, each customer's in the file's order; then compare to the cent, and audit.",
    ),
    "load": Command(
        "waybill.load.command",
        "Offer orders in an open loop, wait until they are settled, print the latencies, and audit.",
    ),
    "audit": Command(
        "waybill.audit.command", "Read topics, databases and the gateway's ledger, and judge every invariant."
    ),
}


Stack = Annotated[Kind, typer.Option(envvar=VARIABLE, help="Which stack is meant.")]


def with_stack(command: Function) -> Function:
    """Give a command the option `--stack`, which it need not know of."""

    @functools.wraps(command)
    def run(*words: Any, stack: Kind, **options: Any) -> None:
        choose(stack)
        command(*words, **options)

    signature = inspect.signature(command, eval_str=True)
    last = inspect.Parameter("stack", inspect.Parameter.KEYWORD_ONLY, default="local", annotation=Stack)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), last])  # type: ignore[attr-defined]  # PEP 362
    run.__annotations__ = {**inspect.get_annotations(command, eval_str=True), "stack": Stack}
    return run


class Commands(typer.core.TyperGroup):
    """Commands that are imported when they are called: all together they bring Kafka, HTTP and SQL clients along."""

    def list_commands(self, _context: Any) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: Any, cmd_name: str) -> Any:
        """Import a command. None: there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(cmd_name)(with_stack(getattr(import_module(COMMANDS[cmd_name].module), cmd_name)))
        return typer.main.get_command(alone)

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """Write the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.sentence) for name, command in COMMANDS.items()])


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def waybill() -> None:
    """Waybill: a shop's order pipeline on Kafka that proves its guarantees."""


@contextmanager
def unwound_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does, once, and then the process with 143."""
    told: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> None:
        if not told:  # `timeout` tells the command, and then its group: what unwinds is left to it
            told.append(number)
            interrupt = signal.getsignal(signal.SIGINT)  # asyncio, where it runs, has its own
            (interrupt if callable(interrupt) else signal.default_int_handler)(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if told:
            sys.exit(TERMINATED)


def main() -> None:
    """Run the command line. Wrong use is one sentence and exit code 2; Ctrl-C is 130, SIGTERM 143."""
    with unwound_by_sigterm():
        try:
            app()
        except UsageError as error:
            print(f"waybill: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)
