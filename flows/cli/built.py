"""What a channel of a recipe has: artifacts of its stages."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.home import open_store
from tasks.engine.errors import MissingInputError, RecipeError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.recipe import load, recipe_name
from tasks.registry import STAGES

Channel = Annotated[
    str, typer.Option(help="Channel of the recipe: latest, or one set by `ingot promote`.")
]


def find_artifacts(recipe: str, channel: str) -> dict[str, Artifact]:
    """What a channel of a recipe means, by stage."""
    store, name = open_store(), recipe_name(recipe)
    found = {stage: channels.resolve(store, name, stage, channel) for stage in STAGES}
    return {stage: artifact for stage, artifact in found.items() if artifact is not None}


def first_built(recipe: str, channel: str, stages: tuple[str, ...]) -> Artifact:
    """The artifact of the first of these stages that is built.

    Raises:
        MissingInputError: none is; says what builds it.
        RecipeError: there is no such recipe, and nothing of it was built.
    """
    built = find_artifacts(recipe, channel)
    for stage in stages:
        if stage in built:
            return built[stage]
    try:
        sections = load(recipe).configs
    except RecipeError:
        if not built:  # else its file is gone, and what it made is not
            raise
    else:
        if not any(stage in sections for stage in stages):
            raise MissingInputError(f"recipe {recipe!r} has no section {' or '.join(stages)}")
    way = f"run `ingot run --recipe {recipe}`"
    if channel != channels.LATEST:
        way = f"`ingot promote {channel} --recipe {recipe}` sets it to what was built last"
    raise MissingInputError(
        f"recipe {recipe!r} has no {' or '.join(stages)} as {channel!r} yet; {way}"
    )
