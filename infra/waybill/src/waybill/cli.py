"""The `waybill` command: everything that a person or a script does to the shop."""

import sys

import typer

from waybill.audit.command import audit
from waybill.demo.command import demo
from waybill.errors import UsageError
from waybill.load.command import load
from waybill.local import commands as local
from waybill.provision.command import provision
from waybill.replay.command import replay
from waybill.token.command import token

app = typer.Typer(
    help="Waybill: a shop's order pipeline on Kafka that proves its guarantees.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
LOCAL = (local.up, local.down, local.status, local.logs, local.stop, local.start)
for command in (*LOCAL, provision, token, demo, replay, load, audit):
    app.command()(command)


def main() -> None:
    """Run the command line. Wrong use is one sentence and exit code 2; Ctrl-C is 130."""
    try:
        app()
    except UsageError as error:
        print(f"waybill: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
