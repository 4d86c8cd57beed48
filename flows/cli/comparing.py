"""`ingot compare`: which model is better, by how much and how surely."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli.options import AsJson
from flows.cli.tables import console, print_rows
from flows.contenders import NAMES, contenders
from tasks.comparison import comparing
from tasks.comparison.comparing import Comparison

Measures = Annotated[
    list[str],
    typer.Option("--measure", help="Compare by this measure alone. May be repeated."),
]
SharedItems = Annotated[
    bool,
    typer.Option(
        "--shared-items",
        help="Where two models were measured on different items, go by those they share.",
    ),
]


def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help=f"{NAMES}.")],
    measures: Measures = [],  # noqa: B006 - Typer reads the default, nobody writes it
    shared_items: SharedItems = False,
    as_json: AsJson = False,
) -> None:
    """Compare models with the first, item by item: differences, intervals, verdicts."""
    found = comparing.compare(contenders(models), measures, shared_items)
    if as_json:
        print(json.dumps(comparing.as_record(found), indent=1, allow_nan=False))
        return
    show(found)


def show(found: Comparison) -> None:
    """Print a comparison."""
    print_rows(comparing.rows_of(found), [comparing.CHANGE])
    told = console()
    for refusal in found.refused:
        told.print(f"not compared: {refusal.why} ({refusal.model})")
    told.print(f"\n{comparing.note(found)}", style="dim")
    told.print(comparing.in_words(found))


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(compare)
