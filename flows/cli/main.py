"""`ingot`: the pipeline from the command line. A file a group of commands."""

from __future__ import annotations

import gc as collector
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, NoReturn

import typer

from flows.cli.stopping import Stopping
from flows.faults import explains_itself, message
from flows.home import prepare_environment

_INTERRUPTED = 130
_KEPT = "interrupted; finished shards and checkpoints are kept: run again to continue"

# The files of this folder that have commands, in the order `--help` lists them. A command imports
# its own file alone: with all of them, `ingot plan` would take a third longer.
COMMANDS = {
    "running": ("plan", "run"),
    "inspecting": ("why", "diff", "trace", "removed", "verify", "gc"),
    "attributing": ("attribute",),
    "sizing": ("size",),
    "what_if": ("what-if",),
    "forecasting": ("forecast",),
    "comparing": ("compare",),
    "experimenting": ("experiment",),
    "learning": ("learn",),
    "results": ("report", "export", "promote"),
    "forgetting": ("forget",),
    "papers": ("papers",),
    "publishing": ("publish",),
    "handing_over": ("handover", "adopt"),
    "generating": ("generate",),
    "chatting": ("chat",),
    "serving": ("serve",),
    "services": ("up", "down"),
    "notifying": ("notify",),
    "health": ("status", "doctor"),
}


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The command line: all commands, or, where the first word is one, those of its file."""
    app = typer.Typer(
        help="Raw web pages in, a language model that answers out.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_options)
    asked = [file for file, names in COMMANDS.items() if words[:1] and words[0] in names]
    for file in asked or COMMANDS:
        importlib.import_module(f"flows.cli.{file}").register(app)
    return app


def _say_version(requested: bool) -> None:
    if not requested:
        return
    try:
        print(f"ingot {version('ingot')}")
    except PackageNotFoundError:
        print("ingot, from a checkout that is not installed")
    raise typer.Exit


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
        _command_line()()
    except Exception as error:
        if explains_itself(error):
            print(message(error), file=sys.stderr)
            _leave(1)
        if not stopping.asked:
            raise
        # What a library was at when the signal came: pydantic makes an error of its own of it.
        print(f"{type(error).__name__}: {error}\n{_KEPT}", file=sys.stderr)
        _leave(128 + stopping.asked_by)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # Typer's answer to Ctrl-C, and to what `stopping` raises
            print(_KEPT, file=sys.stderr)
            _leave(128 + stopping.asked_by)
        if isinstance(end.code, str):
            raise  # the interpreter prints it
        _leave(end.code or 0)


def _command_line() -> typer.Typer:
    """The command that was asked for, imported.

    What is imported stays: to look for garbage among it, again and again, takes a seventh of the
    time, and finds nothing.
    """
    collector.disable()
    try:
        return application(sys.argv[1:])
    finally:
        collector.freeze()
        collector.enable()


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
