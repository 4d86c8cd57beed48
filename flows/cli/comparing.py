"""`ingot compare`: which model is better, by how much and how surely."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli.options import AsJson
from flows.cli.tables import console, print_rows
from flows.home import open_store, require_writable
from tasks.comparison import comparing
from tasks.comparison.comparing import Comparison
from tasks.contenders.by_name import NAMES, contenders
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import sound
from tasks.engine.store.store import Store

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
    found = comparing.compare(contenders(open_store(), models, _measured), measures, shared_items)
    if as_json:
        print(json.dumps(comparing.as_record(found), indent=1, allow_nan=False))
        return
    show(found)


def _measured(request: BuildRequest, store: Store) -> Artifact:
    """An evaluation from the store, or made with a bar."""
    served = sound(store, request.stage.name, request.build_id, request.config)
    if served is not None:
        return served
    require_writable()
    from flows.cli.terminal import Bar  # not before: it takes Prefect, and few comparisons measure

    with Bar() as bar:
        return execute(request, store, bar).artifact


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
