"""`ingot`: the pipeline from the command line. A file a group of commands."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, NoReturn

import typer

from flows.cli import (
    attributing,
    chatting,
    comparing,
    experimenting,
    forecasting,
    forgetting,
    generating,
    handing_over,
    health,
    inspecting,
    papers,
    publishing,
    results,
    running,
    services,
    serving,
    sizing,
    what_if,
)
from flows.cli.faults import explains_itself, message
from flows.cli.stopping import Stopping
from flows.home import prepare_environment

_INTERRUPTED = 130
_KEPT = "interrupted; finished shards and checkpoints are kept: run again to continue"

app = typer.Typer(
    help="Raw web pages in, a language model that answers out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (
    running,
    inspecting,
    attributing,
    sizing,
    what_if,
    forecasting,
    comparing,
    experimenting,
    results,
    forgetting,
    papers,
    publishing,
    handing_over,
    generating,
    chatting,
    serving,
    services,
    health,
):
    group.register(app)


def _say_version(requested: bool) -> None:
    if not requested:
        return
    try:
        print(f"ingot {version('ingot')}")
    except PackageNotFoundError:
        print("ingot, from a checkout that is not installed")
    raise typer.Exit


@app.callback()
def _options(
    requested: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_say_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Raw web pages in, a language model that answers out."""


def main() -> None:
    """Run a command; an error of ours is a message, not a traceback.

    Exit codes: 1 for an error, 2 for wrong usage, 128 and the signal's number where one stopped
    it (130 for Ctrl-C, 143 for SIGTERM, 129 for a terminal that was closed).
    """
    prepare_environment()
    stopping = Stopping()
    try:
        app()
    except Exception as error:
        if not explains_itself(error):
            raise
        print(message(error), file=sys.stderr)
        _leave(1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # Typer's answer to Ctrl-C, and to what `stopping` raises
            print(_KEPT, file=sys.stderr)
            _leave(128 + stopping.asked_by)
        if isinstance(end.code, str):
            raise  # the interpreter prints it
        _leave(end.code or 0)


def _leave(code: int) -> NoReturn:
    """Exit; at once where a server that is away would be asked again and again for what is left.

    What matters is written by then: the store has the artifacts, the run's note has its end.
    """
    running = sys.modules.get("flows.running")
    if running is not None and not running.LAST_RUN.recorded:
        print(
            "the Prefect server was away when the run ended; the next command records its end",
            file=sys.stderr,
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
