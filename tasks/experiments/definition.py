"""The file of an experiment: a recipe, and in what its variants differ from it.

recipe: quickstart
tokens: 1e6
seeds: [0, 1]
variants:
  wide: {pretrain.hidden_size: 192}
  unfiltered: {filter: null}
leave_one_out: filter.rules
grid: {pretrain.learning_rate: [0.004, 0.02]}
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tasks.engine.config import Part, StageConfig
from tasks.engine.errors import IngotError, RecipeError
from tasks.engine.run.chain import chain
from tasks.recipe import Recipe, load_changed
from tasks.recipe_files import recipe_path
from tasks.registry import STAGES
from tasks.settings_files.field_errors import format_value
from tasks.settings_files.settings import read_settings

BASE = "base"
TRAIN, EVALUATE = "pretrain", "evaluate"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_MOST = 200
_SLUG = 24


class ExperimentError(IngotError):
    """The file says no experiment; names what is wrong and the way out."""


class EqualVariantsError(ExperimentError):
    """Two variants would train the same model; names them."""


class ExperimentFile(Part):
    """What is tried."""

    name: str = Field("", description="Of the experiment; empty = that of the file.")
    recipe: str = Field(description="The base: a name, or a path from this file or the root.")
    tokens: int | None = Field(
        None, description="Training tokens of every run; null = those of the recipe.", ge=1
    )
    seeds: list[int] = Field([0], description="Of pretraining: one run a variant each.")
    variants: dict[str, dict[str, Any]] = Field({}, description="Changes by name of the variant.")
    leave_one_out: str = Field("", description="stage.field, a list: a variant without each item.")
    grid: dict[str, list[Any]] = Field({}, description="Values a field: a variant a combination.")

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: list[int]) -> list[int]:
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError("one seed or more, each once")
        return seeds


@dataclass(frozen=True)
class Variant:
    """A recipe that differs from the base in what is tried.

    Attributes:
        changes: by field.
        recipes: as far as they are run, one a seed; each has a name of its own for its pointers.
    """

    name: str
    changes: Mapping[str, Any]
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True)
class Experiment:
    """What is run.

    Attributes:
        source: path of the recipe; `base_name`: its name.
        variants: the first is the base.
    """

    name: str
    source: str
    base_name: str
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]


def read_experiment(path: Path) -> Experiment:
    """The experiment in a file.

    Raises:
        ExternalInputError: it cannot be read, or a field does not validate.
        ExperimentError: it tries nothing, too much, or what an experiment does not measure.
        RecipeError: of the recipe, or of a variant's, which the message names.
    """
    asked = read_settings(path, ExperimentFile, "experiment")
    name = asked.name or path.stem
    if not _NAME.fullmatch(name):
        raise ExperimentError(
            f"{path}: name: {format_value(name)} is used in paths; letters, digits, - and _ only, "
            "40 at most"
        )
    source = recipe_path(asked.recipe, path.parent)
    whole = load_changed(source, {}, str(path))
    base = _as_far_as_trained(whole, str(source))
    tried = {BASE: {}, **_tried(asked, base, path)}
    if len(tried) < 2:
        raise ExperimentError(
            f"{path}: nothing is tried; name changes in variants, leave_one_out or grid"
        )
    if len(tried) > _MOST:
        raise ExperimentError(f"{path}: {len(tried):,} variants; {_MOST} at most")
    slugs = _slugs(tried)
    variants = []
    for variant, changes in tried.items():
        where = f"{path}: {variant}"
        _require_measured(changes, whole, base, where)
        recipes = []
        for seed in asked.seeds:
            budget = {} if asked.tokens is None else {f"{TRAIN}.tokens": asked.tokens}
            fields = {**budget, **changes, f"{TRAIN}.seed": seed}
            recipe = _as_far_as_trained(_changed(source, fields, where), where)
            own = f"{name}-{slugs[variant]}" + (f"-{seed}" if len(asked.seeds) > 1 else "")
            recipes.append(replace(recipe, name=own))
        variants.append(Variant(variant, changes, tuple(recipes)))
    return Experiment(name, str(source), whole.name, tuple(asked.seeds), tuple(variants))


def _changed(source: Path, fields: Mapping[str, Any], where: str) -> Recipe:
    try:
        return load_changed(source, fields, where)
    except RecipeError as error:
        lines = [line.removeprefix(f"{where}: ") for line in str(error).splitlines()]
        raise RecipeError("\n".join(f"{where}: {line}" for line in lines)) from error


def _tried(asked: ExperimentFile, base: Recipe, path: Path) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name, changes in itertools.chain(
        asked.variants.items(), _without_one(asked, base, path), _combinations(asked)
    ):
        if name in found or name == BASE:
            raise ExperimentError(f"{path}: two variants are called {format_value(name)}")
        if not changes:
            raise ExperimentError(f"{path}: variants: {name}: it changes nothing")
        found[name] = changes
    return found


def _without_one(
    asked: ExperimentFile, base: Recipe, path: Path
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not asked.leave_one_out:
        return
    stage, _, field = asked.leave_one_out.partition(".")
    items = getattr(base.configs.get(stage), field, None) if field else None
    if not isinstance(items, list) or not items:
        raise ExperimentError(
            f"{path}: leave_one_out: {format_value(asked.leave_one_out)} is no list with items of "
            "the recipe as far as it is pretrained; write it as stage.field, such as filter.rules"
        )
    plain = base.configs[stage].model_dump(mode="json", include={field})[field]
    for place, item in enumerate(items):
        yield (
            f"without {label_of(item, place)}",
            {asked.leave_one_out: plain[:place] + plain[place + 1 :]},
        )


def label_of(item: Any, place: int) -> str:
    """What an item of a list in a config is called: a rule by its reason."""
    label: str = getattr(item, "reason", None) or getattr(item, "name", None) or ""
    return label or (item if isinstance(item, str) else str(place))


def _combinations(asked: ExperimentFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not asked.grid:
        return
    for values in itertools.product(*asked.grid.values()):
        point = dict(zip(asked.grid, values, strict=True))
        yield ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in point.items()), point


def _as_far_as_trained(recipe: Recipe, source: str) -> Recipe:
    """The recipe up to its pretrained model and what measures that, all of it run here."""
    for stage in (TRAIN, EVALUATE):
        if stage not in recipe.configs:
            raise ExperimentError(
                f"{source}: no stage {stage!r}: an experiment pretrains models and measures them"
            )
    try:
        wired = chain(STAGES, recipe.configs)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error
    kept = wired.ancestors(TRAIN) | {EVALUATE}
    configs: dict[str, StageConfig] = {
        stage: config.model_copy(update={"pool": ""})
        for stage, config in recipe.configs.items()
        if stage in kept
    }
    # Models of others are what they are, whatever is tried; and no index is built of each corpus to
    # look answers up in.
    apart = {"models": [], "verbatim_prompts": 0}
    configs[EVALUATE] = configs[EVALUATE].model_copy(update=apart)
    return replace(recipe, configs=configs)


def _require_measured(changes: Mapping[str, Any], whole: Recipe, base: Recipe, where: str) -> None:
    for key in changes:
        stage = key.partition(".")[0]
        if stage == EVALUATE:
            raise ExperimentError(
                f"{where}: {key}: all variants are measured alike; set it in the recipe"
            )
        if stage in whole.configs and stage not in base.configs:
            raise ExperimentError(
                f"{where}: {key}: an experiment measures the pretrained model, which {stage} does "
                "not change; leave it out"
            )
        if key == TRAIN and changes[key] is None:
            raise ExperimentError(f"{where}: {key}: without it there is no model to measure")
        if key == f"{TRAIN}.seed":
            raise ExperimentError(f"{where}: {key}: name seeds in `seeds`, for all variants")


def _slugs(names: Mapping[str, Any]) -> dict[str, str]:
    """Of each variant a name for pointers, no two alike."""
    found: dict[str, str] = {}
    for place, name in enumerate(names):
        slug = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:_SLUG] or "variant"
        found[name] = f"{slug}-{place}" if slug in found.values() else slug
    return found
