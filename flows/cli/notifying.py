"""`ingot notify`: who is told of runs that failed, hang, wait or are done."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.home import require_writable
from flows.server import ensure_server
from tasks.engine.errors import IngotError


def notify(
    to: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="Address of a webhook, which is sent JSON with a field text; or a notification "
            "block of the Prefect server, as slack-webhook/NAME. Without: nobody any more.",
        ),
    ] = "",
    on: Annotated[
        list[str],
        typer.Option(
            "--on", help="failed, stuck, waiting, finished. May be repeated; default: the first 3."
        ),
    ] = ["failed", "stuck", "waiting"],  # noqa: B006 - Typer reads the default, nobody writes it
) -> None:
    """Have the Prefect server tell somebody of runs; it does so as long as it runs."""
    require_writable()
    from flows import notifications

    notifications.require_address(to)
    ensure_server()
    if not to:
        gone = notifications.notify_nobody()
        print("nobody is told any more" if gone else "nobody was told")
        return
    wanted = [each for each in notifications.OCCASIONS if each in on]
    unknown = [each for each in on if each not in notifications.OCCASIONS]
    if unknown:
        raise IngotError(
            f"--on {unknown[0]}: an occasion is one of {', '.join(notifications.OCCASIONS)}"
        )
    for name in notifications.notify(to, wanted):
        print(f"on: {name}")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(notify)
