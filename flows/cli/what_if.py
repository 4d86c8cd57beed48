"""`ingot what-if`: which documents a change would move, before anything runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli.options import AsJson, Recipe
from flows.cli.tables import console, print_rows
from flows.home import open_store
from tasks.findings.record import measured
from tasks.recipe import recipe_name
from tasks.what_if import answer, sides
from tasks.what_if.expected import expected


def what_if(
    stage: Annotated[str, typer.Argument(help="filter or dedup.")],
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="FIELD=VALUE of the stage; a rule by its name, RULE.minimum=VALUE, or RULE=null "
            "for without it. May be repeated.",
        ),
    ],
    recipe: Recipe = "quickstart",
    examples: Annotated[
        int, typer.Option("--examples", help="Documents shown of either side.", min=0, max=100)
    ] = 3,
    as_json: AsJson = False,
) -> None:
    """Say what a stage would keep by other settings than it was built with, and run nothing."""
    store, name = open_store(), recipe_name(recipe)
    found = sides.what_if(store, name, stage, changes, examples)
    said = expected(stage, found.before, found.after, measured(store, name))
    if as_json:
        print(json.dumps(answer.as_record(found, said), indent=1, allow_nan=False))
        return
    print_rows(answer.rows_of(found), ["by", ""])
    told = console()
    for lines in answer.examples_of(found):
        told.print(lines, markup=False, highlight=False)
    told.print(f"\n{answer.in_words(found)}")
    told.print(answer.expected_in_words(said))


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("what-if")(what_if)
