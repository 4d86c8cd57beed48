"""`ingot`: the pipeline from the command line. A file a group of commands."""

from __future__ import annotations

import sys

import typer

from flows.cli import inspecting, results, running, services
from flows.cli.faults import explains_itself, message
from flows.home import prepare_environment

_INTERRUPTED = 130
_KEPT = "interrupted; finished shards and the checkpoints written are kept: run again to go on"

app = typer.Typer(
    help="Raw web pages in, a language model that answers out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (running, inspecting, results, services):
    group.register(app)


def main() -> None:
    """Run a command; an error of ours is a message, not a traceback.

    Exit codes: 1 for an error, 2 for wrong usage, 130 for Ctrl-C.
    """
    prepare_environment()
    try:
        app()
    except Exception as error:
        if not explains_itself(error):
            raise
        print(message(error), file=sys.stderr)
        sys.exit(1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # Typer's answer to Ctrl-C
            print(_KEPT, file=sys.stderr)
        raise
