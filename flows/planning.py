"""From a recipe and what the user asked for to a planner: shared by every flow and command."""

from __future__ import annotations

import re
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
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published
from tasks.engine.store.store import Store
from tasks.forget.removal import data_stages
from tasks.forget.tombstones import with_forgotten, with_list, write_list
from tasks.recipe import Recipe, load
from tasks.recipe_saving import Changed, changed_by, save
from tasks.registry import STAGES

_ATTEMPT = re.compile(r"([a-z_]+)/([0-9a-f]{1,64})/([0-9]+)")  # it becomes a path

# What the UI offers as a multi-select.
StageName = Literal[*STAGES]

# What forms say of parameters that several flows share. Prefect reads a description from a
# parameter's default, never from `Annotated`.
RECIPE = "A shipped recipe's name, or the path of a YAML file (relative to INGOT_ROOT)."
DRY_RUN = "Publish the plan and stop; nothing is built."
SAVE_AS = (
    "Name for a recipe of its own (a file NAME.yaml in INGOT_ROOT) that keeps the fields changed "
    "here; the run is one of it. Empty: they are for this run alone."
)


def pinned_artifacts(store: Store, names: Sequence[str]) -> dict[str, Artifact]:
    """The artifacts named as `stage/build_id/attempt`, by stage.

    Raises:
        RecipeError: a name has another form.
        MissingInputError: there is no such attempt.
    """
    found = {}
    for name in names:
        named = _ATTEMPT.fullmatch(name)
        if named is None or named[1] not in STAGES:
            raise RecipeError(f"inputs: {name!r} is not of the form stage/build_id/attempt")
        stage, build_id, attempt = named.groups()
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
    changed: Changed | None = None,
) -> Planner:
    """A fresh planner.

    Args:
        source: what the recipe was loaded by.
        configs: replace the recipe's, by stage.
        inputs: attempts to read instead of the latest, as `stage/build_id/attempt`.
        changed: fields, as JSON values, that are not what the recipe says.

    Raises:
        RecipeError: the recipe lacks a stage that another reads from, or its stages do not go
            together, see `Stage.requires`.
        RecipeError, MissingInputError: see `pinned_artifacts`.
    """
    selection = Selection(
        tuple(only), tuple(start), tuple(force), recipe.on_code_drift, recipe.hold
    )
    merged = with_forgotten({**recipe.configs, **(configs or {})}, store)
    # How a stage runs is nobody's to keep: it is another time.
    changed = {
        stage: kept
        for stage, fields in (changed or {}).items()
        if (kept := {k: v for k, v in fields.items() if k not in merged[stage].execution()})
    }
    require(STAGES, merged, source)
    pinned = pinned_artifacts(store, inputs)
    try:
        wired = chain(STAGES, merged)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error
    return Planner(
        wired,
        merged,
        recipe.name,
        store,
        selection,
        source=source,
        pinned=pinned,
        changed=changed,
    )


def planner(
    recipe: str,
    changes: Sequence[str] = (),
    only: Sequence[str] = (),
    start: Sequence[str] = (),
    force: Sequence[str] = (),
) -> Planner:
    """A planner for a recipe by name or path, on the store of this machine's settings."""
    loaded, store = load(recipe, changes), open_store()
    changed = changed_by(changes, loaded)
    return planner_for(loaded, recipe, store, only, start, force, changed=changed)


def plan_of_removal(recipe: str, store: Store, entries: Sequence[Entry]) -> list[Row]:
    """What a run would do, were pages left out that no list names yet; nothing is written."""
    with tempfile.TemporaryDirectory() as folder:
        more = Path(folder) / "asked.csv"
        write_list(more, entries)
        loaded = load(recipe)
        only = data_stages(planner_for(loaded, recipe, store).chain)
        told = with_list(loaded.configs, more)
        return planner_for(loaded, recipe, store, only=only, configs=told).plan()


def keep(recipe: str, name: str, changed: Changed, save_as: str) -> str:
    """Save changed fields as a recipe of its own, which starts from what the other built last.

    Args:
        recipe: what the recipe was loaded by; `name`, what it is called.

    Returns:
        What the new recipe is loaded by.

    Raises:
        SaveError: see `save`.
    """
    saved = save(save_as, recipe, changed)
    channels.start_from(open_store(), save_as, name, STAGES)
    return saved


def keep_changes(recipe: str, changes: Sequence[str], save_as: str) -> str:
    """The same of changes as `stage.field=value`.

    Raises:
        RecipeError: of the recipe or the changes; SaveError: see `save`.
    """
    loaded = load(recipe, changes)
    return keep(recipe, loaded.name, changed_by(changes, loaded), save_as)
