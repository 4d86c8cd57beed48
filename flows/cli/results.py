"""What a recipe made: `report` to look at, `export`, `chat`, and `promote` to keep it."""

from __future__ import annotations

import contextlib
import shutil
import sys
import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Recipe
from flows.home import open_store
from flows.planning import recipe_name
from tasks.engine.errors import IngotError, MissingInputError, RecipeError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.recipe import load
from tasks.registry import MODEL_STAGES, STAGES

Channel = Annotated[
    str, typer.Option(help="Channel of the recipe: latest, or one set by `ingot promote`.")
]


def _find_artifacts(recipe: str, channel: str) -> dict[str, Artifact]:
    """What a channel of a recipe means, by stage."""
    store, name = open_store(), recipe_name(recipe)
    found = {stage: channels.resolve(store, name, stage, channel) for stage in STAGES}
    return {stage: artifact for stage, artifact in found.items() if artifact is not None}


def _first_built(recipe: str, channel: str, stages: tuple[str, ...]) -> Artifact:
    built = _find_artifacts(recipe, channel)
    for stage in stages:
        if stage in built:
            return built[stage]
    with contextlib.suppress(RecipeError):  # its file may be gone
        if not any(stage in load(recipe).configs for stage in stages):
            raise MissingInputError(f"recipe {recipe!r} has no section {' or '.join(stages)}")
    way = f"run `ingot run --recipe {recipe}`"
    if channel != channels.LATEST:
        way = f"`ingot promote {channel} --recipe {recipe}` sets it to what was built last"
    raise MissingInputError(
        f"recipe {recipe!r} has no {' or '.join(stages)} as {channel!r} yet; {way}"
    )


def report(
    recipe: Recipe = "quickstart",
    show: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    funnel: Annotated[Path | None, typer.Option(help="Write the funnel as an SVG file.")] = None,
    channel: Channel = channels.LATEST,
) -> None:
    """Print where the report is: how the model was made, on one page."""
    page = _first_built(recipe, channel, ("report",)).data("report").folder() / "index.html"
    print(page)
    if funnel is not None:
        from tasks.report.page import funnel_picture

        funnel.write_text(funnel_picture(_find_artifacts(recipe, channel)), encoding="utf-8")
        print(funnel)
    if show:
        webbrowser.open(page.as_uri())


def export(
    folder: Annotated[Path, typer.Argument(help="Folder to create.")],
    recipe: Recipe = "quickstart",
    channel: Channel = channels.LATEST,
) -> None:
    """Copy the exported model, which transformers loads unchanged, to a folder."""
    if folder.exists():
        raise IngotError(f"{folder} exists already; name a new folder")
    artifact = _first_built(recipe, channel, ("export",))
    shutil.copytree(artifact.data("model").folder(), folder)
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:,.1f} MB")


def chat(
    recipe: Recipe = "quickstart",
    say: Annotated[
        list[str],
        typer.Option(
            "--say", help="Send this message, print the answer and exit. May be repeated."
        ),
    ] = [],  # noqa: B006 - Typer reads the default, nobody writes it
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Sampling temperature; 0 = always the most likely token.")
    ] = 0.0,
    new_tokens: Annotated[int, typer.Option(min=1, help="Maximum tokens per answer.")] = 200,
    seed: Annotated[int, typer.Option(help="Random seed for sampling.")] = 0,
    channel: Channel = channels.LATEST,
) -> None:
    """Chat with the latest model of a recipe, on this machine's CPU."""
    # The first of them makes a model that goes on with a text, and does not answer.
    artifact = _first_built(recipe, channel, MODEL_STAGES[:0:-1])
    from llm.model.sampling import Sampling
    from llm.serving.chat import Conversation, TurnNotTextError, TurnTooLongError, check_text

    try:
        for turn in say:
            check_text(turn)
    except TurnNotTextError as error:
        raise _usage_error(f"--say: {error}") from error
    sampling = Sampling(temperature, top_k=0, top_p=0.95, seed=seed)
    conversation = Conversation(artifact.data("model").folder(), sampling, new_tokens)
    if say:
        for turn in say:
            _print_as_it_comes(conversation.stream(turn))
        return
    print(f"{artifact.stage} model of {recipe}; /new starts over, an empty line quits")
    while turn := _turn():
        if turn == "/new":
            conversation.forget()
            continue
        try:
            _print_as_it_comes(conversation.stream(turn))
        except TurnTooLongError as error:
            print(error)
        except TurnNotTextError as error:
            raise _usage_error(str(error)) from error


def promote(
    channel: Annotated[str, typer.Argument(help="Name of the channel, such as prod.")],
    recipe: Recipe = "quickstart",
) -> None:
    """Point a channel at what the recipe built last, so that `gc` keeps it."""
    if channel == channels.LATEST or not channel.replace("-", "").isalnum():
        raise IngotError(f"{channel!r} cannot be set; take a name of letters, digits and - (prod)")
    built = _find_artifacts(recipe, channels.LATEST)
    if not built:
        raise MissingInputError(f"nothing to promote: run `ingot run --recipe {recipe}` first")
    for artifact in built.values():
        channels.point(artifact.store, recipe_name(recipe), artifact, channel)
        print(f"{channel}  {artifact.folder}")


def _print_as_it_comes(pieces: Iterable[str]) -> None:
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _turn() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise _usage_error(f"the turn is not UTF-8: {error.reason}; convert it to UTF-8") from error


def _usage_error(what: str) -> typer.Exit:
    """The end of a command whose input is no use: one line, and the exit code of wrong usage."""
    print(what, file=sys.stderr)
    return typer.Exit(2)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (report, export, chat, promote):
        app.command()(command)
