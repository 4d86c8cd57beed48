"""What a recipe made: `report` to look at, `export`, and `promote` to keep it."""

from __future__ import annotations

import shutil
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.built import Channel, find_artifacts, first_built
from flows.cli.comparing import SharedItems, show
from flows.cli.options import Recipe
from flows.home import open_store
from tasks.comparison import contenders, promotion
from tasks.contenders.by_name import of_channel
from tasks.engine.errors import IngotError, MissingInputError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.recipe import recipe_name

# Documents shown of each reason for removal in a data card, and characters of each.
_CARD_SAMPLES, _CARD_CHARACTERS = 3, 600


def report(
    file: Annotated[
        Path | None, typer.Argument(help="Where --pdf writes to; beside the report without it.")
    ] = None,
    recipe: Recipe = "quickstart",
    show: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    funnel: Annotated[Path | None, typer.Option(help="Write the funnel as an SVG file.")] = None,
    data_card: Annotated[
        Path | None, typer.Option(help="Write what is known of the data as a Markdown file.")
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Typeset it as a PDF file, to print or to hand on.")
    ] = False,
    channel: Channel = channels.LATEST,
) -> None:
    """Print where the report is: how the model was made, on one page."""
    if file is not None and not pdf:
        raise IngotError(f"{file}: say what is to be written there; --pdf typesets the report")
    built = first_built(recipe, channel, ("report",))
    page = built.data("report").folder() / "index.html"
    print(page)
    if pdf:
        from tasks.report.pdf import pdf as typeset
        from tasks.stages.report import guide_of

        guide = guide_of(built, find_artifacts(recipe, channel), partial(print, file=sys.stderr))
        written, to = typeset(guide), file or page.with_suffix(".pdf")
        try:
            to.write_bytes(written)
        except OSError as error:
            raise IngotError(
                f"{to} cannot be written: {error}; name another file: `ingot report --pdf FILE`"
            ) from error
        print(to)
    if funnel is not None:
        from tasks.report.guide import funnel_picture

        funnel.write_text(funnel_picture(find_artifacts(recipe, channel)), encoding="utf-8")
        print(funnel)
    if data_card is not None:
        from tasks.report.data_card import data_card as drawn
        from tasks.report.samples import SampleLimits

        limits = SampleLimits(_CARD_SAMPLES, _CARD_CHARACTERS)
        card = drawn(f"Data of {recipe_name(recipe)}", find_artifacts(recipe, channel), limits)
        data_card.write_text(card, encoding="utf-8")
        print(data_card)
    if show:
        webbrowser.open(page.as_uri())


def export(
    folder: Annotated[Path, typer.Argument(help="Folder to create.")],
    recipe: Recipe = "quickstart",
    channel: Channel = channels.LATEST,
    gguf: Annotated[
        bool, typer.Option("--gguf", help="Copy the GGUF files and Ollama's Modelfile too.")
    ] = False,
) -> None:
    """Copy the exported model, which transformers loads unchanged, to a folder."""
    if folder.exists():
        raise IngotError(f"{folder} exists already; name a new folder")
    artifact = first_built(recipe, channel, ("export",))
    if gguf and "gguf" not in artifact.manifest.outputs:
        raise MissingInputError(
            f"the export of {recipe!r} has no GGUF files; name their types in export.gguf and run "
            f"`ingot run --recipe {recipe} --set 'export.gguf=[f16,q8_0]'`"
        )
    try:
        shutil.copytree(artifact.data("model").folder(), folder)
        if gguf:
            shutil.copytree(artifact.data("gguf").folder(), folder, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise IngotError(f"{folder} cannot be written: {error}; name another folder") from error
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:,.1f} MB")


def promote(
    channel: Annotated[str, typer.Argument(help="Name of the channel, such as prod.")],
    recipe: Recipe = "quickstart",
    if_better: Annotated[
        list[str],
        typer.Option(
            "--if-better",
            metavar="MEASURE",
            help="Refuse unless the model built last is significantly better by this measure than "
            "the channel's. May be repeated: by all of them.",
        ),
    ] = [],  # noqa: B006 - Typer reads the default, nobody writes it
    not_worse: Annotated[
        list[str],
        typer.Option(
            "--not-worse",
            metavar="MEASURE",
            help="Refuse if it is significantly worse by this one. May be repeated.",
        ),
    ] = [],  # noqa: B006
    margin: Annotated[
        float,
        typer.Option(
            help="By --if-better it is enough not to be worse by more than this share, surely.",
            min=0.0,
            max=1.0,
        ),
    ] = 0.0,
    model: Annotated[
        str, typer.Option("--model", help="Which model of the evaluations; default: their last.")
    ] = "",
    shared_items: SharedItems = False,
) -> None:
    """Point a channel at what the recipe built last, so that `gc` keeps it."""
    if channel == channels.LATEST or not channel.replace("-", "").isalnum():
        raise IngotError(f"{channel!r} cannot be set; take a name of letters, digits and - (prod)")
    built = find_artifacts(recipe, channels.LATEST)
    if not built:
        raise MissingInputError(f"nothing to promote: run `ingot run --recipe {recipe}` first")
    if if_better or not_worse:
        _require_better(recipe, channel, built, if_better, not_worse, model, shared_items, margin)
    for artifact in built.values():
        channels.point(artifact.store, recipe_name(recipe), artifact, channel)
        print(f"{channel}  {artifact.folder}")


def _require_better(
    recipe: str,
    channel: str,
    built: Mapping[str, Artifact],
    better: Sequence[str],
    not_worse: Sequence[str],
    model: str,
    shared_items: bool,
    margin: float,
) -> None:
    """Show champion and challenger; the channel's model is the champion, where it has one.

    Raises:
        NotBetterError: the challenger may not take its place.
    """
    challenger = of_channel(open_store(), recipe, channels.LATEST, model)
    promotion.require_measured(challenger.evaluation, built)
    if contenders.STAGE not in find_artifacts(recipe, channel):
        print(f"{channel} has no evaluated model yet: there is nothing to be better than")
        return
    champion = of_channel(open_store(), recipe, channel, model)
    judged = promotion.judge(champion, challenger, better, not_worse, shared_items, margin)
    show(judged.comparison)
    if judged.objections:
        raise promotion.NotBetterError(
            f"{channel} stays as it is: {challenger.label} is {'; and '.join(judged.objections)}"
        )


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (report, export, promote):
        app.command()(command)
