"""From a recipe and what the user asked for to a planner: shared by every flow and command."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from flows.home import open_store
from llm.corpus.forget.opt_outs import Entry
from tasks.engine.config import StageConfig
from tasks.engine.errors import MissingInputError, RecipeError
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Row, Selection
from tasks.engine.run.requirements import require
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published
from tasks.engine.store.store import Store
from tasks.forget.removal import data_stages
from tasks.forget.tombstones import with_forgotten, with_list, write_list
from tasks.recipe import Recipe, load
from tasks.registry import STAGES

# What the UI offers as a multi-select.
StageName = Literal[*STAGES]

# What forms say of parameters that several flows share. Prefect reads a description from a
# parameter's default, never from `Annotated`.
RECIPE = "A shipped recipe's name, or the path of a YAML file (relative to INGOT_ROOT)."


def pinned_artifacts(store: Store, names: Sequence[str]) -> dict[str, Artifact]:
    """The artifacts named as `stage/build_id/attempt`, by stage.

    Raises:
        RecipeError: a name has another form.
        MissingInputError: there is no such attempt.
    """
    found = {}
    for name in names:
        stage, _, rest = name.partition("/")
        build_id, _, attempt = rest.partition("/")
        if stage not in STAGES or not build_id or not attempt:
            raise RecipeError(f"inputs: {name!r} is not of the form stage/build_id/attempt")
        artifact = published(store, stage, build_id, attempt)
        if artifact is None:
            raise MissingInputError(
                f"inputs: {name} is not in {store.url}; leave it out to read the latest, or build "
                f"it with `ingot run --only {stage}`"
            )
        found[stage] = artifact
    return found


def planner_for(
    recipe: Recipe,
    source: str,
    store: Store,
    only: Sequence[str] = (),
    start: Sequence[str] = (),
    force: Sequence[str] = (),
    configs: Mapping[str, StageConfig] | None = None,
    inputs: Sequence[str] = (),
) -> Planner:
    """A fresh planner.

    Args:
        source: what the recipe was loaded by.
        configs: replace the recipe's, by stage.
        inputs: attempts to read instead of the latest, as `stage/build_id/attempt`.

    Raises:
        RecipeError: the recipe lacks a stage that another reads from, or its stages do not go
            together, see `Stage.requires`.
        RecipeError, MissingInputError: see `pinned_artifacts`.
    """
    selection = Selection(
        tuple(only), tuple(start), tuple(force), recipe.on_code_drift, recipe.hold
    )
    merged = with_forgotten({**recipe.configs, **(configs or {})}, store)
    require(STAGES, merged, source)
    pinned = pinned_artifacts(store, inputs)
    try:
        wired = chain(STAGES, merged)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error
    return Planner(wired, merged, recipe.name, store, selection, source=source, pinned=pinned)


def planner(
    recipe: str,
    changes: Sequence[str] = (),
    only: Sequence[str] = (),
    start: Sequence[str] = (),
    force: Sequence[str] = (),
) -> Planner:
    """A planner for a recipe by name or path, on the store of this machine's settings."""
    return planner_for(load(recipe, changes), recipe, open_store(), only, start, force)


def plan_of_removal(recipe: str, store: Store, entries: Sequence[Entry]) -> list[Row]:
    """What a run would do, were pages left out that no list names yet; nothing is written."""
    with tempfile.TemporaryDirectory() as folder:
        more = Path(folder) / "asked.csv"
        write_list(more, entries)
        loaded = load(recipe)
        only = data_stages(planner_for(loaded, recipe, store).chain)
        told = with_list(loaded.configs, more)
        return planner_for(loaded, recipe, store, only=only, configs=told).plan()
