"""From a recipe and what the user asked for to a planner: shared by every flow and command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from flows.home import open_store
from tasks.engine.chain import chain
from tasks.engine.config import StageConfig
from tasks.engine.plan import Planner, Selection
from tasks.engine.store import Store
from tasks.recipe import Recipe, load
from tasks.registry import STAGES

# What the UI offers as a multi-select; a test holds it against the registry.
StageName = Literal[
    "source",
    "clean",
    "quality",
    "annotate",
    "filter",
    "dedup",
    "decontaminate",
    "tokenizer",
    "pack",
    "pretrain",
    "examples",
    "sft",
    "dpo",
    "evaluate",
    "export",
    "report",
]


def planner_for(
    recipe: Recipe,
    store: Store,
    only: Sequence[str] = (),
    start: Sequence[str] = (),
    force: Sequence[str] = (),
    configs: Mapping[str, StageConfig] | None = None,
) -> Planner:
    """A fresh planner.

    Args:
        configs: replace the recipe's, by stage.
    """
    selection = Selection(tuple(only), tuple(start), tuple(force), recipe.on_code_drift)
    merged = {**recipe.configs, **(configs or {})}
    return Planner(chain(STAGES, merged), merged, recipe.name, store, selection)


def planner(
    recipe: str,
    changes: Sequence[str] = (),
    only: Sequence[str] = (),
    start: Sequence[str] = (),
    force: Sequence[str] = (),
) -> Planner:
    """A planner for a recipe by name or path, on the store of this machine's settings."""
    return planner_for(load(recipe, changes), open_store(), only, start, force)
