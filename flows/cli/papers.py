"""`ingot papers`: the cards of data and model, the summary of training content, the bill of
materials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.built import Channel
from flows.cli.options import AsJson, Recipe
from flows.home import open_store
from tasks.engine.errors import IngotError
from tasks.engine.store import channels
from tasks.papers import papers as making
from tasks.papers.answers import read_answers
from tasks.papers.fields import ASKED, UNKNOWN, filled_share, tally
from tasks.recipe import recipe_name


def papers(
    recipe: Recipe = "quickstart",
    channel: Channel = channels.LATEST,
    answers: Annotated[
        Path | None,
        typer.Option(help="YAML file of what only a person knows, by field; kept for next time."),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to copy them to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the papers of a recipe: data card, model card, summary of training content, SBOM."""
    store = open_store()
    said = read_answers(answers) if answers is not None else {}
    made = making.write(store, recipe_name(recipe), channel, said, str(answers or ""))
    if to is not None:
        try:
            to.mkdir(parents=True, exist_ok=True)
            for name, text in made.texts.items():
                (to / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise IngotError(f"{to} cannot be written: {error}; name another folder") from error
    if as_json:
        print(made.texts[making.SUMMARY_JSON])
        return
    for line in made.changes:
        print(line)
    for name in made.texts:
        print(store.full(f"{made.place}/{name}"))
    counts = ", ".join(f"{count} {who}" for who, count in tally(made.fields).items())
    print(
        f"{len(made.fields)} fields: {counts}; {filled_share(made.fields):.0%} of what provenance "
        "can say is filled in"
    )
    for who, what in ((UNKNOWN, "not known of these data"), (ASKED, "for a person to say")):
        left = [field.key for field in made.fields if field.who == who]
        if left:
            print(f"{what}, in a YAML file (--answers): {json.dumps(left)[1:-1]}")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(papers)
