"""`report`, `export`, `chat`: what a recipe made, to look at, to take away, to talk to."""

from __future__ import annotations

import shutil
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Recipe
from flows.home import open_store
from flows.planning import recipe_name
from tasks.engine import refs
from tasks.engine.artifact import Artifact
from tasks.engine.errors import IngotError, MissingInputError
from tasks.registry import STAGES


def _first_built(recipe: str, stages: tuple[str, ...]) -> Artifact:
    store, name = open_store(), recipe_name(recipe)
    for stage in stages:
        artifact = refs.resolve(store, name, stage)
        if artifact is not None:
            return artifact
    raise MissingInputError(
        f"recipe {name!r} has no {' or '.join(stages)} yet; run `ingot run --recipe {recipe}`"
    )


def report(
    recipe: Recipe = "quickstart",
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    funnel: Annotated[
        Path | None, typer.Option(help="Write the funnel as a picture, an SVG file.")
    ] = None,
) -> None:
    """Say where the report lies; how the model was made, on one page."""
    page = _first_built(recipe, ("report",)).data("report").folder() / "index.html"
    print(page)
    if funnel is not None:
        from tasks.report_page import funnel_picture

        store, name = open_store(), recipe_name(recipe)
        found = {stage: refs.resolve(store, name, stage) for stage in STAGES}
        built = {stage: artifact for stage, artifact in found.items() if artifact is not None}
        funnel.write_text(funnel_picture(built), encoding="utf-8")
        print(funnel)
    if show:
        webbrowser.open(page.as_uri())


def export(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    recipe: Recipe = "quickstart",
) -> None:
    """Copy the exported model, which transformers loads unchanged, to a folder."""
    if folder.exists():
        raise IngotError(f"{folder} is there already; name a folder that is not")
    artifact = _first_built(recipe, ("export",))
    shutil.copytree(artifact.data("model").folder(), folder)
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:,.1f} MB")


def chat(
    recipe: Recipe = "quickstart",
    say: Annotated[
        list[str], typer.Option("--say", help="A turn; answers it and ends. May be repeated.")
    ] = [],  # noqa: B006 - Typer reads the default, nobody writes it
    temperature: Annotated[float, typer.Option(min=0.0, help="0 = always the likeliest.")] = 0.0,
    new_tokens: Annotated[int, typer.Option(min=1, help="Of an answer at most.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """Talk with the latest model of a recipe, on this machine's CPU."""
    artifact = _first_built(recipe, ("dpo", "sft"))
    from llm.model.generation import Sampling
    from llm.serving.chat import Conversation, TurnTooLongError

    sampling = Sampling(temperature, top_k=0, top_p=0.95, seed=seed)
    conversation = Conversation(artifact.data("model").folder(), sampling, new_tokens)
    if say:
        for turn in say:
            print(conversation.say(turn))
        return
    print(f"{artifact.stage} model of {recipe}; /new begins anew, an empty line ends")
    while turn := _turn():
        if turn == "/new":
            conversation.forget()
            continue
        try:
            print(conversation.say(turn))
        except TurnTooLongError as error:
            print(error)


def _turn() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (report, export, chat):
        app.command()(command)
