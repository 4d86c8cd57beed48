"""`ingot handover` and `ingot adopt`: a tuning run out to another program, and its model back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Recipe
from flows.home import open_store, require_writable
from flows.planning import planner
from tasks.engine.errors import RecipeError
from tasks.engine.store import channels
from tasks.recipe import recipe_name
from tasks.registry import MODEL_STAGES

if TYPE_CHECKING:
    from tasks.engine.run.execute import BuildRequest


_TUNED = ", ".join(MODEL_STAGES[1:])


class Program(StrEnum):
    """Which programs a run can be handed to."""

    AXOLOTL = "axolotl"


def handover(
    program: Annotated[Program, typer.Argument(help="axolotl: its config, 0.19.")],
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one to be made.")],
    stage: Annotated[str, typer.Option(help=f"Which run: {_TUNED}.")] = MODEL_STAGES[1],
    recipe: Recipe = "quickstart",
) -> None:
    """Write a tuning run for another program: config, rows, starting model and the one command."""
    request = _request(recipe, stage)
    from tasks.handover.handing_over import CONFIG, hand_over

    done = hand_over(request, recipe, folder)
    rows = ", ".join(f"{count:,} {split}" for split, count in done.rows.items())
    print(f"{folder}: {rows} rows. There: {program} train {CONFIG}; then: ingot adopt {folder}")


def adopt(
    folder: Annotated[Path, typer.Argument(help="What was handed over, or a model's folder.")],
    stage: Annotated[
        str,
        typer.Option(
            "--as", help=f"The stage whose model it is ({_TUNED}); default: what was handed over."
        ),
    ] = "",
    recipe: Annotated[str, typer.Option(help="Default: what was handed over.")] = "",
) -> None:
    """Take a model that another program tuned as the artifact of its stage, once it is scored."""
    from flows.cli.terminal import Bar
    from llm.alignment.adopted import AdoptedModelError
    from tasks.handover.adopting import adopt as take
    from tasks.handover.adopting import handed_over

    known = handed_over(folder)
    wanted, chosen = recipe or known.get("recipe", ""), stage or known.get("stage", "")
    if not wanted or not chosen:
        raise AdoptedModelError(
            f"{folder} was not written by `ingot handover`; say what it is: --recipe NAME --as "
            f"{MODEL_STAGES[1]}"
        )
    require_writable()
    request, store = _request(wanted, chosen), open_store()
    with Bar() as bar:
        artifact = take(request, folder, store, bar)
    channels.point(store, recipe_name(wanted), artifact)
    print(f"{artifact.folder} is the {chosen} of {wanted} from now on; `ingot run` goes on from it")


def _request(recipe: str, stage: str) -> BuildRequest:
    """The stage's request in the recipe, as it stands now.

    Raises:
        RecipeError: the recipe has no such stage.
        MissingInputError: what it reads is not built.
    """
    planned = planner(recipe, only=[stage])
    if stage not in planned.chain.stages:
        raise RecipeError(f"recipe {recipe!r} has no section {stage}")
    planned.plan()
    return planned.request(stage)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(handover)
    app.command()(adopt)
